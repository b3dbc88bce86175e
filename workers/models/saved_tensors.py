"""Reading files of tensors, none of whose content gets run."""

import pickle
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

# What torch and safetensors raise where a file ends early or its bytes are others than were written.
_DAMAGED = (
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    SafetensorError,
    TypeError,
    ValueError,
    struct.error,
)


def read_safetensors(path: Path, *, prefix: str = "") -> dict[str, Tensor]:
    """The tensors of a file whose names begin with a prefix, under their whole names, in the types of the file.

    Raises:
        ValueError: The file is cut short or damaged.
    """
    with _told(path), safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys() if name.startswith(prefix)}  # noqa: SIM118


def read_pickled(path: Path, *, lazily: bool = False) -> Any:
    """What `torch.save` wrote, as long as it is tensors, plain values and containers of those.

    Args:
        path: Of the file.
        lazily: Leave the tensors on the disk until they are used, where the format allows. The file must stay as it is
            meanwhile.

    Raises:
        ValueError: The file is cut short or damaged, or it would run code.
    """
    with _told(path):
        return torch.load(path, map_location="cpu", weights_only=True, mmap=lazily and zipfile.is_zipfile(path))


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turns what reading raises into a sentence that says what to do."""
    try:
        yield
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path} ({path.stat().st_size} bytes) is cut short or damaged, or holds more than tensors and text and "
            f"might run code when loaded: fetch it again, or save its tensors as safetensors ({_first_line(error)})"
        ) from error
    except _DAMAGED as error:
        raise ValueError(
            f"{path} ({path.stat().st_size} bytes) is cut short or damaged: fetch it again ({_first_line(error)})"
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
