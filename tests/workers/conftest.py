import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


@pytest.fixture
def threads() -> Iterator[None]:
    """Lets a test set torch's number of threads."""
    import torch

    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


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
