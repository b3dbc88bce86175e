"""What a HiFi-GAN's config must say, and which mels it asks for."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.workers.models.hifigan_folders import config_of
from workers.audio.mel_spec import MelSpec
from workers.models.hifigan_spec import HifiganSpec


def spec_of(folder: Path, config: Any) -> HifiganSpec:
    (folder / "config.json").write_text(json.dumps(config))
    return HifiganSpec(weights=str(folder))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"resblock": "3"}, r"is not a HiFi-GAN's: resblock: .*'1' or '2'.*; give the one that the generator"),
        ({"num_mels": "many"}, "num_mels: .*valid integer"),
        ({"upsample_rates": [5, 4, 4]}, "upsample_rates has 3 stages and upsample_kernel_sizes 4"),
        (
            {"upsample_kernel_sizes": [16, 8, 8, 1]},
            "upsample_kernel_sizes has 1 for a rate of 2, which",
        ),
        ({"upsample_initial_channel": 8}, "upsample_initial_channel 8 cannot be halved 4 times"),
        ({"resblock_kernel_sizes": [3, 4]}, "resblock_kernel_sizes has 4, expected odd sizes"),
        ({"resblock_kernel_sizes": [3]}, "resblock_kernel_sizes has 1 blocks and resblock_dilation_sizes 2"),
        ({"resblock_dilation_sizes": [[1, 3], [1, 3, 5]]}, r"has \[1, 3\], expected 3 dilations for resblock 1"),
        ({"hop_size": 256}, r"hop_size is 256, but the product of upsample_rates \[5, 4, 4, 2\] is 160"),
        ({"architectures": ["SpeechT5HifiGan"]}, "holds a SpeechT5HifiGan of transformers: set kind: speecht5_hifigan"),
    ],
)
def test_a_config_that_says_something_else_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        spec_of(tmp_path, config_of(**changes)).config()


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such model folder"):
        HifiganSpec(weights=str(tmp_path / "nowhere")).resolved()
    with pytest.raises(ValueError, match=r"no config.json in .*: put the one that the generator was trained with"):
        HifiganSpec(weights=str(tmp_path)).config()
    with pytest.raises(ValueError, match="sampling_rate: Field required"):
        spec_of(tmp_path, {name: value for name, value in config_of().items() if name != "sampling_rate"}).config()
    with pytest.raises(ValueError, match=r"no generator in .*: expected g_\*, generator\*.pt"):
        spec_of(tmp_path, config_of()).checkpoint()
    with pytest.raises(ValueError, match=r"no generator in .*: expected g_1"):
        spec_of(tmp_path, config_of()).model_copy(update={"file": "g_1"}).checkpoint()


def test_no_file_outside_the_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="pattern"):
        HifiganSpec(weights=str(tmp_path), file="../g_1")


@pytest.mark.parametrize(
    ("changes", "mel", "message"),
    [
        ({}, {"n_mels": 80}, "mel.n_mels is 80 and the vocoder's 64; set mel to the vocoder's values"),
        ({}, {"hop_length": 256}, "mel.hop_length is 256 and the vocoder's 160"),
        ({"sampling_rate": 22_050}, {}, "mel.sample_rate is 16000 and the vocoder's 22050"),
        ({"n_fft": 2048}, {}, "mel.n_fft is 1024 and the vocoder's 2048"),
        ({"win_size": 800}, {}, "mel.win_length is 1024 and the vocoder's 800"),
        ({"fmin": 80}, {}, "mel.f_min_hz is 0 and the vocoder's 80"),
        ({"fmax": 7600}, {"f_min_hz": 50}, "mel.f_min_hz is 50 and the vocoder's 0, mel.f_max_hz is 8000 and .* 7600"),
        ({"fmax": None}, {"f_max_hz": 7000}, "mel.f_max_hz is 7000 and the vocoder's 8000"),
    ],
)
def test_another_mel_is_refused(tmp_path: Path, changes: dict[str, Any], mel: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        spec_of(tmp_path, config_of(**changes)).check_mel(MelSpec(preset="audioldm2", **mel))


def test_what_a_config_does_not_state_is_not_compared(tmp_path: Path) -> None:
    left_out = {"hop_size", "n_fft", "win_size", "fmin", "fmax"}
    spec = spec_of(tmp_path, {name: value for name, value in config_of().items() if name not in left_out})
    spec.check_mel(MelSpec(preset="audioldm2", n_fft=2048, f_max_hz=7000))
    with pytest.raises(ValueError, match=r"mel.hop_length is 200"):
        spec.check_mel(MelSpec(preset="audioldm2", hop_length=200))


def test_blocks_may_be_numbered_by_a_number(tmp_path: Path) -> None:
    assert spec_of(tmp_path, config_of("2", resblock=2)).config().resblock == "2"
