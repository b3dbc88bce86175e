"""What audiocraft computed (https://github.com/facebookresearch/audiocraft, 1.4.0a2), where it is on this machine."""

from pathlib import Path
from typing import Any

import pytest
import torch

FOLDER = Path(__file__).parents[4] / "../shared/data/audiogen"


def reference(name: str) -> dict[str, Any]:
    """The tensors of a reference file; skips the test where there are none."""
    path = FOLDER / name
    if not path.exists():
        pytest.skip("the AudioGen references are not on this machine")
    tensors: dict[str, Any] = torch.load(path, weights_only=True)
    return tensors


def reference_folder(name: str) -> Path:
    """A reference folder; skips the test where it is missing."""
    path = FOLDER / name
    if not path.exists():
        pytest.skip("the AudioGen references are not on this machine")
    return path
