"""The codec gives what audiocraft gives, and what SEANet written out gives at other settings."""

from pathlib import Path

import pytest
import torch

from tests.workers.models.audiogen.checkpoints import Codec as Settings
from tests.workers.models.audiogen.checkpoints import Lm, codec_state, write_checkpoint
from tests.workers.models.audiogen.plain_seanet import PlainSeanet
from tests.workers.models.audiogen.references import reference, reference_folder
from workers.models.audiogen.audiocraft_checkpoint import read_audiocraft_checkpoint
from workers.models.audiogen.codec import Codec

OTHERS = {
    "no skip, reflect, 1 LSTM layer": Settings(),
    "zeros, no LSTM, true skip": Settings(pad_mode="constant", lstm=0, true_skip=True, n_residual_layers=1),
    "causal, trimmed on both sides": Settings(causal=True, trim_right_ratio=0.4, pad_mode="constant", lstm=2),
    "causal, reflect": Settings(causal=True, compress=1, ratios=(4, 3), sample_rate=1200),
    "group norm": Settings(norm="time_group_norm", true_skip=True, pad_mode="replicate"),
    "no norm": Settings(norm="none", channels=2, kernel_size=7),
    "outer blocks without norm": Settings(disable_norm_outer_blocks=2, dilation_base=2),
}


def load(folder: Path) -> Codec:
    checkpoint = read_audiocraft_checkpoint(folder)
    return Codec(checkpoint.shape, checkpoint.codec_state)


def other(tmp_path: Path, settings: Settings, **changes: object) -> Codec:
    channels = {"channels": settings.channels} | changes
    lm = Lm(sample_rate=settings.sample_rate, changes=channels)
    return load(write_checkpoint(tmp_path / "checkpoint", lm=lm, codec=settings))


def draw_codes(rows: int, num_codebooks: int, frames: int, card: int = 48) -> torch.Tensor:
    return torch.randint(card, (rows, num_codebooks, frames), generator=torch.Generator().manual_seed(5))


def test_equals_audiocraft() -> None:
    """Sound within 1e-6 (its peak is 0.33), codes exactly."""
    codec, expected = load(reference_folder("ckpt_A")), reference("A_encodec.pt")
    assert torch.equal(codec.model.latent(expected["codes"]), expected["latent"])
    torch.testing.assert_close(codec.decode(expected["codes"]), expected["wav"], atol=1e-6, rtol=0)
    with torch.inference_mode():
        torch.testing.assert_close(codec.model.encoder(expected["enc_in"]), expected["enc_latent"], atol=1e-6, rtol=0)
    assert torch.equal(codec.encode(expected["enc_in"]), expected["enc_codes"])


@pytest.mark.parametrize(("codes", "sound"), [("greedy_alone", "greedy_wav_row0"), ("extended_tokens", "extended_wav")])
def test_equals_what_audiocraft_generated(codes: str, sound: str) -> None:
    """Within 1e-6."""
    generated = reference("A_generate.pt")
    decoded = load(reference_folder("ckpt_A")).decode(generated[codes][:1])
    torch.testing.assert_close(decoded, generated[sound], atol=1e-6, rtol=0)


@pytest.mark.parametrize("settings", OTHERS.values(), ids=OTHERS)
@pytest.mark.parametrize("frames", [1, 2, 19])
def test_equals_seanet_written_out(tmp_path: Path, settings: Settings, frames: int) -> None:
    """Sound within 1e-5 of its peak; codes exactly, of a length that is no multiple of the hop too."""
    codec, plain = other(tmp_path, settings), PlainSeanet(settings, codec_state(settings))
    codes = draw_codes(2, 3, frames)
    sound, expected = codec.decode(codes), plain.decode(codes)
    hop_length = codec.shape.codec.hop_length
    assert sound.shape == expected.shape == (2, settings.channels, frames * hop_length)
    torch.testing.assert_close(sound, expected, atol=1e-5 * float(expected.abs().max()), rtol=0)
    clip = torch.randn(2, settings.channels, frames * hop_length - 3, generator=torch.Generator().manual_seed(6))
    assert torch.equal(codec.encode(clip), plain.encode(clip, 3))


def test_fewer_codebooks_than_the_codec_has(tmp_path: Path) -> None:
    settings = Settings(n_q=5)
    codec, plain = other(tmp_path, settings), PlainSeanet(settings, codec_state(settings))
    codes = draw_codes(1, 3, 8)
    torch.testing.assert_close(codec.decode(codes), plain.decode(codes), atol=1e-5, rtol=0)
    clip = torch.randn(1, 1, 240, generator=torch.Generator().manual_seed(6))
    assert torch.equal(codec.encode(clip), plain.encode(clip, 3))


def test_stereo_of_a_mono_codec(tmp_path: Path) -> None:
    """Left and right, whose codebooks alternate, are what the codec gives of each."""
    settings, interleaved = Settings(), {"interleave_stereo_codebooks": {"use": True, "per_timestep": False}}
    lm = Lm(delays=(0, 0, 1, 1, 2, 2), changes=interleaved)
    codec = load(write_checkpoint(tmp_path, lm=lm, codec=settings))
    plain = PlainSeanet(settings, codec_state(settings))
    codes = draw_codes(2, 6, 9)
    sound = codec.decode(codes)
    expected = torch.cat([plain.decode(codes[:, 0::2]), plain.decode(codes[:, 1::2])], dim=1)
    torch.testing.assert_close(sound, expected, atol=1e-5 * float(expected.abs().max()), rtol=0)
    again = codec.encode(sound)
    assert torch.equal(again[:, 0::2], plain.encode(expected[:, :1], 3))
    assert torch.equal(again[:, 1::2], plain.encode(expected[:, 1:], 3))


@pytest.mark.usefixtures("threads")
def test_bits_depend_neither_on_neighbours_nor_on_threads(tmp_path: Path) -> None:
    codec, codes = other(tmp_path, Settings(n_filters=16)), draw_codes(5, 3, 30)
    torch.set_num_threads(1)
    sounds = torch.cat([codec.decode(row) for row in codes.split(1)])
    again = torch.cat([codec.encode(row) for row in sounds.split(1)])
    torch.set_num_threads(2)
    assert torch.equal(codec.decode(codes), sounds)
    assert torch.equal(codec.decode(codes[[3, 1]]), sounds[[3, 1]])
    assert torch.equal(codec.encode(sounds), again)


def test_building_leaves_the_global_generator_alone(tmp_path: Path) -> None:
    before = torch.random.get_rng_state()
    other(tmp_path, Settings())
    assert torch.equal(torch.random.get_rng_state(), before)


def test_other_shapes_are_refused(tmp_path: Path) -> None:
    codec = other(tmp_path, Settings())
    with pytest.raises(ValueError, match=r"expected codes \[B, 3, T\] with B, T >= 1, got shape \[1, 4, 6\]"):
        codec.decode(draw_codes(1, 4, 6))
    with pytest.raises(ValueError, match="expected codes from 0 to 47, got 48 to 48"):
        codec.decode(torch.full((1, 3, 6), 48))
    with pytest.raises(ValueError, match=r"expected a waveform \[B, 1, N\] with B, N >= 1, got shape \[1, 2, 60\]"):
        codec.encode(torch.zeros(1, 2, 60))


def test_a_codec_that_divides_by_the_volume_takes_no_prompt(tmp_path: Path) -> None:
    codec = other(tmp_path, Settings(renormalize=True))
    assert codec.decode(draw_codes(1, 3, 4)).shape == (1, 1, 120)
    with pytest.raises(ValueError, match=r"divides a clip by its volume \(encodec.renormalize\)"):
        codec.encode(torch.zeros(1, 1, 60))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda state: state.pop("decoder.layers.1.lstm.bias_ih_l0"),
            r"it has no decoder\.layers\.1\.lstm\.bias_ih_l0",
        ),
        (lambda state: state.update(other=torch.zeros(1)), "it has a surplus other"),
        (lambda state: state.update({"encoder.layers.0.conv.bias": torch.zeros(3)}), r"is \[3\], expected \[4\]"),
    ],
    ids=["missing", "surplus", "another shape"],
)
def test_weights_that_do_not_fit_are_refused(tmp_path: Path, change, said: str) -> None:  # type: ignore[no-untyped-def]
    checkpoint = read_audiocraft_checkpoint(write_checkpoint(tmp_path))
    state = dict(checkpoint.codec_state)
    change(state)
    with pytest.raises(ValueError, match=f"the codec's weights do not fit its settings: .*{said}"):
        Codec(checkpoint.shape, state)


@pytest.mark.gpu
def test_gpu_gives_a_row_the_same_bits_whatever_its_neighbours(tmp_path: Path) -> None:
    codec, codes = other(tmp_path, Settings(n_filters=16)).to(torch.device("cuda")), draw_codes(5, 3, 30).cuda()
    assert torch.equal(codec.decode(codes)[3:4], codec.decode(codes[3:4]))
