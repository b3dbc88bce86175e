"""Models that hear clips, held against transformers' own feature extractors and models on the same weights."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soxr
import torch
from numpy.typing import NDArray

from tests.workers.models.hearing_models import write_ast, write_clap, write_encodec
from workers.metrics.embedding import Embedding
from workers.models.ast_spec import AstSpec
from workers.models.clap import Clap
from workers.models.clap_spec import ClapSpec
from workers.models.clip_listener import ClipListener, windows
from workers.models.encodec_spec import EncodecSpec
from workers.models.hearing_spec import HearingSpec
from workers.models.listener import Listener
from workers.models.load_listener import load_classifier, load_embedding
from workers.models.weights import weights_digest

RATE = 16_000
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("hearing")
    return {
        "clap": write_clap(root / "clap"),
        "fused": write_clap(root / "fused", fused=True),
        "encodec": write_encodec(root / "encodec"),
        "stereo": write_encodec(root / "stereo", stereo=True),
        "ast": write_ast(root / "ast"),
    }


def noise(length: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, 0.1, length).astype(np.float32)


def spec_of(folders: dict[str, Path], name: str) -> HearingSpec:
    weights = str(folders[name])
    match name:
        case "clap" | "fused":
            return ClapSpec(weights=weights)
        case "encodec" | "stereo":
            return EncodecSpec(weights=weights, window_seconds=1.0)
    return AstSpec(weights=weights)


def listener_of(folders: dict[str, Path], name: str, *, rate: int = RATE, classifies: bool = False) -> Listener:
    load: Callable[..., Listener] = load_classifier if classifies else load_embedding
    return load(spec_of(folders, name), sample_rate=rate, device=CPU, microbatch=4)


def heard(listener: Listener, *clips: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    vectors = listener(clips).vectors
    assert {vector.status for vector in vectors} == {"ok"}
    return [vector.values for vector in vectors if vector.values is not None]


@pytest.mark.parametrize("name", ["clap", "fused"])
@pytest.mark.parametrize("length", [16_000, 5000, 512])
def test_clap_is_that_of_transformers(folders: dict[str, Path], name: str, length: int) -> None:
    """1e-5 on unit vectors: the extractor rounds spectra to complex64, where here they are float64."""
    from transformers import ClapFeatureExtractor, ClapModel

    clip = noise(length)
    extractor = ClapFeatureExtractor.from_pretrained(folders[name])
    inputs = extractor(clip, sampling_rate=RATE, return_tensors="pt")
    inputs["is_longer"] = torch.zeros(1, 1, dtype=torch.bool)  # which one is, of short clips, it would draw at random
    with torch.inference_mode():
        expected = ClapModel.from_pretrained(folders[name]).eval().get_audio_features(**inputs).pooler_output[0]
    [found] = heard(listener_of(folders, name), clip)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)
    features = Clap(ClapSpec(weights=str(folders[name])), CPU).features(clip)
    np.testing.assert_allclose(features, inputs["input_features"][0], atol=1e-3)  # dB


def test_texts_are_those_of_transformers(folders: dict[str, Path]) -> None:
    from transformers import AutoTokenizer, ClapModel

    texts = ["a dog barks", "rain", "x" * 200]
    model = Clap(ClapSpec(weights=str(folders["clap"])), CPU)
    with torch.inference_mode():
        found = model.text_vectors(model.tokens(texts))
    tokenizer, reference = AutoTokenizer.from_pretrained(folders["clap"]), ClapModel.from_pretrained(folders["clap"])
    for text, vector in zip(texts, found, strict=True):
        inputs = tokenizer(text, truncation=True, max_length=77, return_tensors="pt")
        with torch.inference_mode():
            expected = reference.eval().get_text_features(**inputs).pooler_output[0]
        np.testing.assert_allclose(vector, expected, atol=1e-5)
    assert not np.allclose(found[0], found[1], atol=1e-3)


@pytest.mark.parametrize("length", [10_480, 4000, 400])
def test_classes_are_those_of_transformers(folders: dict[str, Path], length: int) -> None:
    from transformers import ASTFeatureExtractor, ASTForAudioClassification

    clip = noise(length)
    inputs = ASTFeatureExtractor.from_pretrained(folders["ast"])(clip, sampling_rate=RATE, return_tensors="pt")
    model = ASTForAudioClassification.from_pretrained(folders["ast"]).eval()
    with torch.inference_mode():
        output = model(**inputs).logits[0]
        pooled = model.audio_spectrogram_transformer(**inputs).pooler_output[0]
    [classes] = heard(listener_of(folders, "ast", classifies=True), clip)
    np.testing.assert_allclose(classes, output.log_softmax(0), atol=1e-5)
    [embedding] = heard(listener_of(folders, "ast"), clip)
    np.testing.assert_allclose(embedding, pooled, atol=1e-5)


def test_encodec_is_the_mean_of_the_encoder_of_transformers(folders: dict[str, Path]) -> None:
    """Of a causal model what is filled up behind a clip has no say; its last frame may be a part of one."""
    from transformers import EncodecModel

    encoder = EncodecModel.from_pretrained(folders["encodec"]).eval().encoder
    listener = listener_of(folders, "encodec")
    for length in (16_000, 6400):
        with torch.inference_mode():
            expected = encoder(torch.from_numpy(noise(length))[None, None])[0].mean(dim=1)
        [found] = heard(listener, noise(length))
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_encodec_of_two_channels_is_normalised_by_the_clip_alone(folders: dict[str, Path]) -> None:
    from transformers import EncodecModel

    clip = noise(16_000)
    encoder = EncodecModel.from_pretrained(folders["stereo"]).eval().encoder
    with torch.inference_mode():
        scaled = torch.from_numpy(clip / (np.sqrt(np.square(clip).mean()) + 1e-8))
        expected = encoder(scaled.expand(1, 2, -1))[0].mean(dim=1)
    listener = listener_of(folders, "stereo")
    loud, quiet, short, shorter = heard(listener, clip, clip * 0.01, clip[:5000], clip[:5000] * 0.01)
    np.testing.assert_allclose(loud, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(quiet, loud, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(shorter, short, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["clap", "encodec", "stereo", "ast"])
def test_a_clip_is_heard_alike_in_any_company_and_by_any_number_of_threads(folders: dict[str, Path], name: str) -> None:
    clips = [noise(length, seed) for seed, length in enumerate((9000, 40_000, 700, 16_000, 3000))]
    listener = listener_of(folders, name)
    together = heard(listener, *clips)
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            for clip, vector in zip(clips, together, strict=True):
                assert heard(listener, clip)[0].tobytes() == vector.tobytes()
            backwards = heard(listener, *clips[::-1])[::-1]
            assert [one.tobytes() for one in backwards] == [one.tobytes() for one in together]
    finally:
        torch.set_num_threads(before)


def test_long_clips_are_heard_from_end_to_end(folders: dict[str, Path]) -> None:
    clip = noise(40_000)
    parts = [clip[:16_000], clip[12_000:28_000], clip[24_000:]]
    [mean] = heard(listener_of(folders, "clap"), clip)
    np.testing.assert_allclose(mean, np.mean(heard(listener_of(folders, "clap"), *parts), axis=0), atol=1e-7)
    [classes] = heard(listener_of(folders, "ast", classifies=True), clip)
    starts = [number * (40_000 - 10_480) // 3 for number in range(4)]
    own = heard(listener_of(folders, "ast", classifies=True), *(clip[start : start + 10_480] for start in starts))
    np.testing.assert_allclose(np.exp(classes), np.exp(own).mean(axis=0), atol=1e-6)
    assert np.exp(classes).sum() == pytest.approx(1.0, abs=1e-5)


def test_windows_reach_from_end_to_end() -> None:
    for length in (1, 10, 11, 20, 25, 99):
        clip = np.arange(length, dtype=np.float32)
        found = list(windows(clip, 10))
        assert len(found) == max(1, -(-length // 10))
        assert {len(window) for window in found} == {min(length, 10)}
        assert {*np.concatenate(found).tolist()} == {*clip.tolist()}


def test_clips_of_another_rate_are_resampled(folders: dict[str, Path]) -> None:
    clip = np.sin(np.arange(48_000) * 0.05).astype(np.float32)
    [found] = heard(listener_of(folders, "clap", rate=48_000), clip)
    [expected] = heard(listener_of(folders, "clap"), soxr.resample(clip, 48_000, RATE, quality="HQ"))
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_what_cannot_be_heard_says_why_and_disturbs_nobody(folders: dict[str, Path]) -> None:
    spoilt = noise(8000)
    spoilt[3] = np.nan
    listener = listener_of(folders, "clap")
    found = listener([spoilt, noise(9000), noise(511), noise(0), np.zeros(9000, np.float32)])
    assert [vector.status for vector in found.vectors] == ["nonfinite", "ok", "too_short", "too_short", "ok"]
    assert found.sizes == (None, 4, None, None, 4)
    assert found.vectors[1].values is not None
    assert found.vectors[1].values.tobytes() == heard(listener, noise(9000))[0].tobytes()


def test_what_a_model_makes_nothing_of_is_not_finite() -> None:
    class Broken:
        sample_rate, window_samples, min_samples = RATE, 100, 1

        def features(self, window: NDArray[np.float32]) -> torch.Tensor:
            return torch.full((3,), float(window[0]))

        def vectors(self, features: torch.Tensor) -> torch.Tensor:
            return 1 / features

        def joined(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.asarray(vectors.mean(axis=0))

    listener = ClipListener(Broken(), sample_rate=RATE, device=CPU, microbatch=2)
    found: list[Embedding] = list(listener([np.zeros(9, np.float32), np.ones(9, np.float32)]).vectors)
    assert [vector.status for vector in found] == ["nonfinite", "ok"]


def test_specs_say_what_the_model_gives(folders: dict[str, Path]) -> None:
    facts: dict[str, Any] = {}
    for name in folders:
        spec = spec_of(folders, name)
        assert isinstance(spec, ClapSpec | EncodecSpec | AstSpec)
        facts[name] = spec.sample_rate, spec.dimension
        [vector] = heard(listener_of(folders, name), noise(9000))
        assert vector.shape == (spec.dimension,)
    assert facts == {
        "clap": (RATE, 16),
        "fused": (RATE, 16),
        "encodec": (RATE, 8),
        "stereo": (RATE, 8),
        "ast": (RATE, 16),
    }
    assert AstSpec(weights=str(folders["ast"])).num_classes == 5


def test_two_classes_have_no_names_in_their_config(tmp_path: Path) -> None:
    assert AstSpec(weights=str(write_ast(tmp_path / "two", num_classes=2))).num_classes == 2


def test_the_digest_is_of_all_that_decides(tmp_path: Path) -> None:
    folder = write_clap(tmp_path / "clap")
    seen = {weights_digest(ClapSpec(weights=str(folder)))}
    for name in ("preprocessor_config.json", "tokenizer.json"):
        text = (folder / name).read_text()
        (folder / name).write_text(text + "\n")
        seen.add(weights_digest(ClapSpec(weights=str(folder))))
    seen.add(weights_digest(ClapSpec(weights=str(write_clap(tmp_path / "other", seed=1)))))
    assert len(seen) == 4


def test_models_that_are_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="weights is random, which hears nothing"):
        ClapSpec(weights="random")
    with pytest.raises(ValueError, match=r"holds a model of type encodec, expected clap"):
        ClapSpec(weights=str(folders["encodec"])).checkpoint()
    bare = write_clap(tmp_path / "bare", tokenizer=False)
    with pytest.raises(ValueError, match=r"no tokenizer beside the model .*bare"):
        Clap(ClapSpec(weights=str(bare)), CPU).tokens(["a"])
    alone = write_clap(tmp_path / "alone")
    (alone / "preprocessor_config.json").unlink()
    with pytest.raises(ValueError, match=r"no preprocessor_config.json beside the model .*alone"):
        _ = ClapSpec(weights=str(alone)).sample_rate


def test_a_feature_extractor_may_be_in_a_processors_file(tmp_path: Path) -> None:
    folder = write_clap(tmp_path / "clap")
    settings = (folder / "preprocessor_config.json").read_text()
    (folder / "processor_config.json").write_text(f'{{"feature_extractor": {settings}}}')
    (folder / "preprocessor_config.json").unlink()
    assert ClapSpec(weights=str(folder)).sample_rate == RATE
    assert Clap(ClapSpec(weights=str(folder)), CPU).window_samples == RATE
