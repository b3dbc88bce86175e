import pytest
from pydantic import ValidationError

from workers.audio.mel_spec import MelSpec


def test_preset_fills_and_given_fields_win() -> None:
    spec = MelSpec(preset="audioldm2", n_mels=80, peak=None)
    assert (spec.n_fft, spec.win_length, spec.hop_length, spec.n_mels) == (1024, 1024, 160, 80)
    assert spec.remove_mean
    assert spec.peak is None


@pytest.mark.parametrize("spec", [MelSpec(), MelSpec(preset="audioldm2"), MelSpec(preset="audioldm2", peak=None)])
def test_dump_is_resolved(spec: MelSpec) -> None:
    assert MelSpec(**spec.model_dump()) == spec
    assert MelSpec.model_validate_json(spec.model_dump_json()) == spec


@pytest.mark.parametrize(
    ("preset", "num_samples", "frames"), [("audioldm2", 163_840, 1024), ("audiovae", 131_583, 256)]
)
def test_num_frames(preset: str, num_samples: int, frames: int) -> None:
    assert MelSpec(preset=preset).num_frames(num_samples) == frames


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_fft": 1024}, "win_length 2048 is longer than n_fft 1024"),
        ({"n_fft": 256, "win_length": 256}, "hop_length 512 is longer than n_fft 256"),
        ({"sample_rate": 8_000}, "f_max_hz 8000 is above half the sample_rate"),
        ({"f_min_hz": 8_000.0}, "f_min_hz 8000 must be below f_max_hz 8000"),
        ({"preset": "audioldm2", "loudness_lufs": -23.0}, "both set the level"),
        ({"preset": "audioldm"}, "'audiovae' or 'audioldm2'"),
        ({"hop": 160}, "Extra inputs are not permitted"),
    ],
)
def test_refuses(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        MelSpec(**settings)
