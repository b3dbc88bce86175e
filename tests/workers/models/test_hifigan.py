"""A HiFi-GAN in its authors' format gives what their code computes, cut to its frames, whatever the batch."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchaudio

from tests.workers.models.hifigan_folders import (
    Names,
    config_of,
    layers_of,
    named,
    sound_of,
    state_of,
    write_hifigan,
)
from workers.audio.mel import mel_spectrogram
from workers.audio.mel_spec import MelSpec
from workers.models.hifigan_spec import HIFIGAN_V1, HifiganSpec
from workers.models.vocoder import Vocoder
from workers.models.weights import weights_digest

SAMPLES = 160 * 25


def mels(rows: int, frames: int = 25) -> torch.Tensor:
    return torch.randn(rows, 64, frames, generator=torch.Generator().manual_seed(0)) - 4.0


def vocoder_of(folder: Path, **settings: Any) -> Vocoder:
    return Vocoder(HifiganSpec(weights=str(folder), **settings))


@pytest.mark.parametrize("resblock", ["1", "2"])
@pytest.mark.parametrize(
    ("file", "names"),
    [
        ("g_00000010", "older"),
        ("g_00000010", "newer"),
        ("generator.pt", "older"),
        ("generator_v1.ckpt", "plain"),
        ("generator.safetensors", "newer"),
        ("model.safetensors", "plain"),
    ],
)
def test_equals_the_authors_code(tmp_path: Path, resblock: str, file: str, names: Names) -> None:
    config = config_of(resblock)
    state = state_of(config)
    sound = vocoder_of(write_hifigan(tmp_path, config, named(state, names), file=file))(mels(2))
    expected = sound_of(config, state, mels(2))
    assert expected.shape[1] > SAMPLES
    assert 0.05 < expected.std() < 0.9  # neither silent nor all at the limits
    assert (sound.dtype, sound.shape) == (torch.float32, (2, SAMPLES))
    torch.testing.assert_close(sound.double(), expected[:, :SAMPLES], atol=1e-5, rtol=0)


def test_a_published_shape_equals_the_authors_code(tmp_path: Path) -> None:
    """That of V3, narrower: three stages, three single blocks in each, 22.05 kHz."""
    config = config_of(
        "2",
        upsample_rates=[8, 8, 4],
        upsample_kernel_sizes=[16, 16, 8],
        resblock_kernel_sizes=[3, 5, 7],
        resblock_dilation_sizes=[[1, 2], [2, 6], [3, 12]],
        num_mels=80,
        sampling_rate=22_050,
        hop_size=256,
    )
    state, mel = state_of(config), torch.randn(1, 80, 9, generator=torch.Generator().manual_seed(1))
    sound = vocoder_of(write_hifigan(tmp_path, config, state))(mel)
    torch.testing.assert_close(sound.double(), sound_of(config, state, mel), atol=1e-5, rtol=0)


def test_dilations_beyond_those_of_the_block_are_ignored_as_the_authors_do(tmp_path: Path) -> None:
    config = config_of("2")
    expected = vocoder_of(write_hifigan(tmp_path / "a", config))(mels(1))
    longer = {**config, "resblock_dilation_sizes": [[1, 2, 9], [2, 6, 9]]}
    assert torch.equal(vocoder_of(write_hifigan(tmp_path / "b", longer, state_of(config)))(mels(1)), expected)


def test_half_precision_takes_float32(tmp_path: Path) -> None:
    state = {name: tensor.half() for name, tensor in state_of(config_of()).items()}
    folder = write_hifigan(tmp_path, state=state)
    exact = vocoder_of(folder)(mels(1))
    expected = sound_of(config_of(), {name: tensor.float() for name, tensor in state.items()}, mels(1))
    torch.testing.assert_close(exact.double(), expected[:, :SAMPLES], atol=1e-5, rtol=0)
    for dtype in (torch.bfloat16, torch.float16):
        half = vocoder_of(folder).to(torch.device("cpu"), dtype)(mels(1))
        assert half.dtype == torch.float32
        assert (half - exact).square().mean().sqrt() < 0.05 * exact.std()


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("resblock", ["1", "2"])
def test_bits_depend_neither_on_neighbours_nor_on_threads(tmp_path: Path, resblock: str) -> None:
    vocoder, mel = vocoder_of(write_hifigan(tmp_path, config_of(resblock))), mels(5)
    torch.set_num_threads(1)
    alone = torch.cat([vocoder(row) for row in mel.split(1)])
    torch.set_num_threads(2)
    assert torch.equal(vocoder(mel), alone)


def test_the_file_is_named_where_training_left_several(tmp_path: Path) -> None:
    write_hifigan(tmp_path, state=state_of(config_of(), seed=1), file="g_00000020")
    alone = vocoder_of(write_hifigan(tmp_path / "alone"))(mels(1))
    write_hifigan(tmp_path)
    torch.save({"mpd": {}, "msd": {}}, tmp_path / "do_00000020")
    with pytest.raises(ValueError, match=r"holds 2 generators \(g_00000010, g_00000020\), expected one: .* file"):
        vocoder_of(tmp_path)
    assert torch.equal(vocoder_of(tmp_path, file="g_00000010")(mels(1)), alone)
    assert not torch.equal(vocoder_of(tmp_path, file="g_00000020")(mels(1)), alone)


def test_digest_follows_weights_and_config_but_not_the_folder(tmp_path: Path) -> None:
    def digest(name: str, **settings: Any) -> str:
        return weights_digest(HifiganSpec(weights=str(tmp_path / name), **settings))

    write_hifigan(tmp_path / "a")
    write_hifigan(tmp_path / "b", file="g_00000020")
    (tmp_path / "b/g_00000020").write_bytes((tmp_path / "a/g_00000010").read_bytes())
    assert digest("a") == digest("b") == digest("b", file="g_00000020")
    write_hifigan(tmp_path / "c", state=state_of(config_of(), seed=1))
    write_hifigan(tmp_path / "d", config_of(fmax=7600), state_of(config_of()))
    assert len({digest(name) for name in "acd"}) == 3
    random = {weights_digest(HifiganSpec(weights="random", seed=seed)) for seed in (0, 0, 1)}
    assert len(random) == 2


def test_a_uri_gives_its_generator(tmp_path: Path, memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    here = write_hifigan(tmp_path / "here")
    for path in here.iterdir():
        memory.pipe_file(f"/vocoders/mine/{path.name}", path.read_bytes())
    there = HifiganSpec(weights="memory://vocoders/mine").resolved()[0]
    there.check_mel(MelSpec(preset="audioldm2"))
    assert torch.equal(Vocoder(there)(mels(1)), vocoder_of(here)(mels(1)))
    assert weights_digest(there) == weights_digest(HifiganSpec(weights=str(here)))


def without_a_layer(state: dict[str, torch.Tensor]) -> None:
    del state["conv_post.weight_g"], state["conv_post.weight_v"]


def with_another_layer(state: dict[str, torch.Tensor]) -> None:
    state["resblocks.0.activation.alpha"] = torch.ones(16)


def wider(state: dict[str, torch.Tensor]) -> None:
    state["conv_pre.weight_v"] = torch.ones(32, 80, 7)


def without_a_gain(state: dict[str, torch.Tensor]) -> None:
    del state["ups.1.weight_g"]


def with_a_wrong_gain(state: dict[str, torch.Tensor]) -> None:
    state["ups.1.weight_g"] = torch.ones(8, 1, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without_a_layer, r"do not fit its config.json \(missing: conv_post.weight\): give the config.json"),
        (with_another_layer, r"\(unexpected: resblocks.0.activation.alpha\)"),
        (wider, r"of another shape: conv_pre.weight \[32, 80, 7\] where \[32, 64, 7\] is expected"),
        (without_a_gain, r"\(missing: ups.1.weight; unexpected: ups.1.weight_v\)"),
        (with_a_wrong_gain, r"ups.1.weight_g has the shape \[8, 1, 1\], expected \[16, 1, 1\]"),
    ],
)
def test_weights_that_do_not_fit_are_refused(tmp_path: Path, change: Any, message: str) -> None:
    state = state_of(config_of())
    change(state)
    with pytest.raises(ValueError, match=message):
        vocoder_of(write_hifigan(tmp_path, state=state))


def test_a_config_of_another_block_is_refused(tmp_path: Path) -> None:
    write_hifigan(tmp_path, config_of("2", resblock_kernel_sizes=[3, 7]), state_of(config_of("1")))
    with pytest.raises(ValueError, match=r"missing: resblocks.0.convs.0.weight, .* and 29 more; unexpected: "):
        vocoder_of(tmp_path)


@pytest.mark.parametrize("file", ["g_00000010", "generator.safetensors"])
@pytest.mark.parametrize("kept", [0.0, 0.001, 0.1, 0.5, 0.9, 0.999])
def test_a_file_that_is_cut_short_is_refused(tmp_path: Path, file: str, kept: float) -> None:
    path = write_hifigan(tmp_path, file=file) / file
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(ValueError, match=rf"{file} \(\d+ bytes\) is cut short or damaged.* fetch it again"):
        vocoder_of(tmp_path)


@pytest.mark.parametrize("kept", [0.0, 0.001, 0.01, 0.1, 0.5, 0.9, 0.999])
def test_a_file_of_older_torch_is_read_and_refused_where_cut_short(tmp_path: Path, kept: float) -> None:
    path = write_hifigan(tmp_path) / "g_00000010"
    expected = vocoder_of(tmp_path)(mels(1))
    torch.save({"generator": state_of(config_of())}, path, _use_new_zipfile_serialization=False)
    assert torch.equal(vocoder_of(tmp_path)(mels(1)), expected)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(ValueError, match=r"g_00000010 \(\d+ bytes\) is cut short or damaged"):
        vocoder_of(tmp_path)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_with_wrong_bytes_is_read_or_refused(tmp_path: Path, zipped: bool) -> None:
    """Whatever torch makes of them, nothing but a ValueError comes out."""
    path = write_hifigan(tmp_path) / "g_00000010"
    torch.save({"generator": state_of(config_of())}, path, _use_new_zipfile_serialization=zipped)
    content, rng = path.read_bytes(), np.random.default_rng(0)
    num_refused = 0
    for _ in range(60):
        damaged = bytearray(content)
        start = int(rng.integers(4000))
        damaged[start : start + int(rng.integers(30))] = rng.bytes(int(rng.integers(30)))
        path.write_bytes(damaged)
        try:
            vocoder_of(tmp_path)
        except ValueError as error:
            num_refused += 1
            assert str(path) in str(error)  # noqa: PT017
    assert num_refused > 40


class Planted:
    """Unpickling it would write a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_what_is_in_a_file_is_not_run(tmp_path: Path) -> None:
    write_hifigan(tmp_path)
    torch.save({"generator": state_of(config_of()), "hook": Planted(tmp_path / "ran")}, tmp_path / "g_00000010")
    with pytest.raises(ValueError, match="holds more than tensors and text and might run code when loaded"):
        vocoder_of(tmp_path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("held", "message"),
    [
        ([torch.ones(1)], "holds a list, expected a generator's tensors by name"),
        ({}, "holds a dict, expected a generator's tensors by name"),
        ({"model": {"conv_pre.bias": torch.ones(1)}, "steps": 3}, r"entries model, steps, and no tensor under model"),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, held: Any, message: str) -> None:
    torch.save(held, write_hifigan(tmp_path) / "g_00000010")
    with pytest.raises(ValueError, match=message):
        vocoder_of(tmp_path)


@pytest.mark.slow
def test_random_weights_have_the_papers_size() -> None:
    """13.92 million parameters (table 1)."""
    vocoder = Vocoder(HifiganSpec(weights="random", seed=3))
    assert sum(parameter.numel() for parameter in vocoder.model.parameters()) == pytest.approx(13.92e6, rel=0.01)
    sound = vocoder(torch.zeros(1, 80, 4))
    assert sound.shape == (1, 4 * 256)
    assert torch.isfinite(sound).all()
    again = Vocoder(HifiganSpec(weights="random", seed=3))(torch.zeros(1, 80, 4))
    assert torch.equal(again, sound)


def test_the_layers_of_v1_are_the_authors() -> None:
    from workers.models.hifigan import HifiganGenerator

    with torch.device("meta"):
        model = HifiganGenerator(HIFIGAN_V1)
    shapes = {name: tuple(tensor.shape) for name, tensor in model.named_parameters() if name.endswith("weight")}
    assert shapes == {f"{layer}.weight": shape for layer, shape in layers_of(HIFIGAN_V1.model_dump()).items()}


def test_the_docstrings_mel_is_the_authors() -> None:
    """Their front end in float64, with the settings of the 22.05 kHz models; 1e-9 under the root is what is left."""
    spec = MelSpec(sample_rate=22_050, n_fft=1024, win_length=1024, hop_length=256, n_mels=80, peak=0.95)
    HifiganSpec(weights="random").check_mel(spec)
    time = torch.arange(256 * 40, dtype=torch.float64) / 22_050
    waveform = torch.exp(-8 * time) * sum(torch.sin(2 * np.pi * f * time) for f in (220.0, 1000.0, 5000.0))
    normalised = 0.95 * waveform / waveform.abs().max()
    padded = torch.nn.functional.pad(normalised[None], (384, 384), mode="reflect")[0]
    window = torch.hann_window(1024, dtype=torch.float64)
    transform = torch.stft(padded, 1024, hop_length=256, window=window, center=False, return_complex=True)
    magnitude = torch.sqrt(torch.view_as_real(transform).pow(2).sum(-1) + 1e-9)
    filters = torchaudio.functional.melscale_fbanks(513, 0.0, 8_000.0, 80, 22_050, norm="slaney", mel_scale="slaney")
    expected = torch.log(torch.clamp(filters.double().T @ magnitude, min=1e-5))
    mel = mel_spectrogram(waveform.float()[None, None], spec)[0, 0]
    assert mel.shape == expected.shape == (80, 40)
    assert expected.min() < -9.0 < -3.0 < expected.max()
    torch.testing.assert_close(mel.double(), expected, atol=0.02, rtol=0)
