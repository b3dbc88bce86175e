"""What tests share: made-up recordings, and one local Ray for the whole session."""

import logging
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import soundfile

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # tests report nothing to anybody, and each cluster has a process less
SAMPLE_RATES = (16_000, 44_100, 8_000, 48_000)
FORMATS = (("wav", "PCM_16"), ("flac", "PCM_24"), ("wav", "FLOAT"), ("ogg", "VORBIS"))


@pytest.fixture(scope="session")
def local_ray() -> Iterator[None]:
    """A local Ray on the loopback interface, with more logical CPUs than cores so that several actors fit."""
    import ray

    ray.init(
        address="local",
        num_cpus=4,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        _node_ip_address="127.0.0.1",
    )
    yield
    ray.shutdown()


def write_clips(folder: Path, count: int, *, seed: int = 0) -> Path:
    """Writes decaying chords of 0.3 to 3 s, rates, channels and formats mixed, and captions.csv; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    rows = ["path,caption,category"]
    for index in range(count):
        rate = SAMPLE_RATES[index % len(SAMPLE_RATES)]
        extension, subtype = FORMATS[index % len(FORMATS)]
        time = np.arange(int(rate * rng.uniform(0.3, 3.0))) / rate
        tones = sum(np.sin(2 * np.pi * rng.uniform(80, 3000) * time) for _ in range(3))
        chord = 0.2 * tones * np.exp(-time) + 0.01 * rng.standard_normal(len(time))
        samples = np.stack([chord, chord[::-1]], axis=1) if index % 3 == 0 else chord
        name = f"{'low' if index % 2 else 'high'}/clip_{index:03d}.{extension}"
        (folder / name).parent.mkdir(exist_ok=True)
        soundfile.write(folder / name, samples, rate, subtype=subtype)
        rows.append(f'{name},"a chord, number {index}",{"low" if index % 2 else "high"}')
    (folder / "captions.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of twelve short recordings and their captions.csv. Read only."""
    return write_clips(tmp_path_factory.mktemp("clips"), 12)


@pytest.fixture
def memory() -> Iterator[Any]:
    """A file system in memory, emptied afterwards."""
    filesystem = fsspec.filesystem("memory", skip_instance_cache=True)
    yield filesystem
    filesystem.store.clear()
    filesystem.pseudo_dirs[:] = [""]


@pytest.fixture
def make_clips(tmp_path: Path) -> Callable[..., Path]:
    """Makes a folder of recordings that the test may change."""

    def make(count: int, *, seed: int = 0, name: str = "clips") -> Path:
        return write_clips(tmp_path / name, count, seed=seed)

    return make


@pytest.fixture(scope="session")
def tiny_autoencoder_kl(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Writes small random AutoencoderKL folders of AudioLDM2's structure."""
    import torch
    from diffusers import AutoencoderKL

    logging.getLogger("diffusers").setLevel(logging.ERROR)

    def save(
        *, dtype: torch.dtype = torch.float32, seed: int = 0, in_pipeline: bool = False, **save_options: object
    ) -> Path:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = AutoencoderKL(
                in_channels=1,
                out_channels=1,
                down_block_types=["DownEncoderBlock2D"] * 3,
                up_block_types=["UpDecoderBlock2D"] * 3,
                block_out_channels=[16, 32, 64],
                layers_per_block=2,
                latent_channels=8,
                norm_num_groups=8,
                scaling_factor=0.4,
            )
        folder = tmp_path_factory.mktemp("autoencoder_kl")
        model.to(dtype).save_pretrained(folder / "vae" if in_pipeline else folder, **save_options)
        return folder

    return save


@pytest.fixture(scope="session")
def tiny_oobleck(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Writes small random AutoencoderOobleck folders: 8 kHz, 80 samples per latent step, stereo unless said."""
    import torch
    from diffusers import AutoencoderOobleck

    def save(*, dtype: torch.dtype = torch.float32, seed: int = 0, **config: Any) -> Path:
        settings: dict[str, Any] = {
            "encoder_hidden_size": 16,
            "downsampling_ratios": [2, 5, 8],
            "channel_multiples": [1, 2, 4],
            "decoder_channels": 16,
            "decoder_input_channels": 8,
            "audio_channels": 2,
            "sampling_rate": 8_000,
        }
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            torch.manual_seed(seed)
            model = AutoencoderOobleck(**settings | config)
        folder = tmp_path_factory.mktemp("oobleck")
        model.to(dtype).save_pretrained(folder)
        return folder

    return save


@pytest.fixture(scope="session")
def tiny_hifigan(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Writes small random SpeechT5HifiGan folders of AudioLDM2's rates."""
    import torch
    from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

    def save(*, dtype: torch.dtype = torch.float32, seed: int = 0, folder: Path | None = None) -> Path:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = SpeechT5HifiGan(
                SpeechT5HifiGanConfig(
                    model_in_dim=64,
                    sampling_rate=16_000,
                    upsample_initial_channel=32,
                    upsample_rates=[5, 4, 2, 2, 2],
                    upsample_kernel_sizes=[16, 16, 8, 4, 4],
                    resblock_kernel_sizes=[3],
                    resblock_dilation_sizes=[[1, 3]],
                    normalize_before=False,
                    initializer_range=0.15,  # with less there is no sound to compare
                )
            )
        folder = folder or tmp_path_factory.mktemp("hifigan")
        model.to(dtype).save_pretrained(folder)
        return folder

    return save


@pytest.fixture(autouse=True)
def _gpu_tests_need_a_gpu(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("gpu") is None:
        return
    import torch

    if torch.cuda.is_available():
        return
    if os.environ.get("REQUIRE_CUDA") == "1":
        pytest.fail("REQUIRE_CUDA=1 but torch sees no CUDA device")
    pytest.skip("needs a CUDA device")
