"""The text encoder gives T5's hidden states, each text's by itself, and nothing where there is no text."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.workers.models.audiogen.references import reference, reference_folder
from tests.workers.models.audiogen.t5s import save_t5
from workers.models.audiogen.text_encoder import TextEncoder
from workers.models.audiogen.text_encoder_spec import TextEncoderSpec, hub_id_of
from workers.models.weights import weights_digest

TEXTS = ["rain", "", "a dog barks at the wind, for a long while", "rain"]


def debug(**settings: object) -> TextEncoder:
    return TextEncoder(TextEncoderSpec.model_validate({"weights": "random", **settings}))


def test_equals_audiocraft() -> None:
    """Tokens exactly, hidden states of its padded batch within 1e-5 (they reach 3.6), rows of no text exactly."""
    expected = reference("A_text.pt")
    encoder = TextEncoder(TextEncoderSpec(weights=str(reference_folder("t5-small"))))
    assert encoder.text_dim == 512
    encoded = encoder.encode([*expected["prompts"], "", "", ""])
    assert torch.equal(encoded.mask, expected["cond_mask"].bool())
    for text, tokens, mask in zip(expected["prompts"], expected["input_ids"], expected["attention_mask"], strict=False):
        assert torch.equal(encoder.tokenize(text), tokens[mask.bool()])
    texts = encoded.mask.unsqueeze(-1)
    torch.testing.assert_close(encoded.hidden, expected["t5_last_hidden"] * texts, atol=1e-5, rtol=0)
    assert not encoded.hidden[3:].any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_equals_transformers(tmp_path: Path, dtype: torch.dtype) -> None:
    """Within 1e-6, from a file of the whole T5, in whatever type it is."""
    theirs = save_t5(tmp_path, dtype=dtype)
    encoder = TextEncoder(TextEncoderSpec(weights=str(tmp_path)))
    encoded = encoder.encode(TEXTS)
    assert encoded.mask.sum(dim=1).tolist() == [2, 0, 12, 2]
    assert encoder.tokenize("rain").tolist() == [3, 1]
    with torch.inference_mode():
        for row in (0, 2, 3):
            tokens = encoder.tokenize(TEXTS[row]).unsqueeze(0)
            expected = theirs.float()(input_ids=tokens).last_hidden_state[0]
            torch.testing.assert_close(encoded.hidden[row][encoded.mask[row]], expected, atol=1e-6, rtol=0)
    assert not encoded.hidden[~encoded.mask].any()


def test_a_musicgens_text_encoder_is_found_in_it(tmp_path: Path) -> None:
    folder = tmp_path / "t5"
    save_t5(folder)
    config = json.loads((folder / "config.json").read_text())
    expected = TextEncoder(TextEncoderSpec(weights=str(folder))).encode(TEXTS).hidden
    tensors = {f"text_encoder.{name}": tensor for name, tensor in load_file(folder / "model.safetensors").items()}
    save_file(tensors | {"decoder.other": torch.zeros(1)}, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps({"model_type": "musicgen", "text_encoder": config}))
    assert torch.equal(TextEncoder(TextEncoderSpec(weights=str(folder))).encode(TEXTS).hidden, expected)


@pytest.mark.usefixtures("threads")
def test_bits_depend_neither_on_neighbours_nor_on_threads() -> None:
    encoder = debug(random_dim=96)
    torch.set_num_threads(1)
    alone = [encoder.encode([text]) for text in TEXTS]
    torch.set_num_threads(2)
    together = encoder.encode(TEXTS)
    for row, single in enumerate(alone):
        length = single.hidden.shape[1]
        assert torch.equal(together.hidden[row, :length], single.hidden[0])
        assert torch.equal(together.mask[row, :length], single.mask[0])
        assert not together.mask[row, length:].any()
        assert not together.hidden[row][~together.mask[row]].any()


def test_random_weights_are_a_function_of_the_seed() -> None:
    before = torch.random.get_rng_state()
    encoder = debug(seed=3)
    assert torch.equal(torch.random.get_rng_state(), before)
    hidden = encoder.encode(["wind"]).hidden
    assert hidden.shape == (1, 5, 32)  # bytes and the end
    assert torch.isfinite(hidden).all()
    assert torch.equal(debug(seed=3).encode(["wind"]).hidden, hidden)
    assert not torch.equal(debug(seed=4).encode(["wind"]).hidden, hidden)
    assert not torch.equal(encoder.encode(["mind"]).hidden, hidden)
    assert weights_digest(TextEncoderSpec(weights="random")) != weights_digest(
        TextEncoderSpec(weights="random", random_dim=33)
    )


def test_no_text_at_all() -> None:
    encoded = debug().encode(["", ""])
    assert encoded.hidden.shape == (2, 1, 32)
    assert not encoded.hidden.any()
    assert not encoded.mask.any()
    assert debug().encode([]).hidden.shape == (0, 1, 32)


def test_spaces_are_a_text() -> None:
    """Audiocraft takes just the empty text for none."""
    assert debug().encode([" "]).mask.sum() == 2


def test_a_text_that_is_too_long_is_refused() -> None:
    encoder = debug(max_text_length=8)
    assert encoder.encode(["1234567"]).mask.sum() == 8
    with pytest.raises(
        ValueError, match=r"a text has 53 tokens, and max_text_length is 8: shorten it, .* \('rain rain .* rain …'\)"
    ):
        encoder.encode(["rain", "rain rain " * 5 + "ok"])


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    save_t5(folder := tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    with pytest.raises(ValueError, match=r"no tokenizer in .*: expected tokenizer.json or spiece.model beside config"):
        TextEncoder(TextEncoderSpec(weights=str(folder)))


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no such model folder: .*/t5"):
        TextEncoder(TextEncoderSpec(weights=str(tmp_path / "t5")))


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("encoder.final_layer_norm.weight", None, r"missing: encoder\.final_layer_norm\.weight"),
        ("encoder.final_layer_norm.weight", torch.ones(5), r"final_layer_norm\.weight is \[5\], expected \[16\]"),
    ],
    ids=["missing", "another shape"],
)
def test_weights_that_do_not_fit_are_refused(tmp_path: Path, name: str, change: torch.Tensor | None, said: str) -> None:
    save_t5(folder := tmp_path)
    tensors = load_file(folder / "model.safetensors")
    del tensors[name]
    if change is not None:
        tensors[name] = change
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=f"do not fit its config.json.*{said}"):
        TextEncoder(TextEncoderSpec(weights=str(folder)))


def test_a_file_that_was_cut_short_is_refused(tmp_path: Path) -> None:
    save_t5(folder := tmp_path)
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"model.safetensors \(\d+ bytes\) is cut short or damaged: fetch it again"):
        TextEncoder(TextEncoderSpec(weights=str(folder)))


def test_another_model_is_refused(tmp_path: Path) -> None:
    save_t5(folder := tmp_path)
    (folder / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ValueError, match=r"holds a bert, expected a t5 \(or a musicgen with one\)"):
        TextEncoder(TextEncoderSpec(weights=str(folder)))


def test_the_digest_covers_the_tokenizer(tmp_path: Path) -> None:
    save_t5(tmp_path)
    spec = TextEncoderSpec(weights=str(tmp_path))
    before = weights_digest(spec)
    path = tmp_path / "tokenizer.json"
    path.write_text(path.read_text().replace("rain", "hail"))
    assert weights_digest(spec) != before


def test_where_the_hub_keeps_a_t5() -> None:
    assert hub_id_of("t5-large") == "google-t5/t5-large"
    assert hub_id_of("google/flan-t5-base") == "google/flan-t5-base"
