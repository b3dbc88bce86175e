"""The tensors of a model that lies in several files."""

from collections.abc import Iterable
from pathlib import Path

from torch import Tensor

from workers.models.saved_tensors import read_pickled, read_safetensors


def read_tensors(files: Iterable[Path], *, prefix: str = "") -> dict[str, Tensor]:
    """The tensors of safetensors or of pickled files, in the types of the file.

    Args:
        files: The shards of one model.
        prefix: Read just those whose names begin so, and take it off.

    Raises:
        ValueError: A file is cut short or damaged, or holds something else.
    """
    tensors: dict[str, Tensor] = {}
    for path in files:
        is_safe = path.suffix == ".safetensors"
        found = read_safetensors(path, prefix=prefix) if is_safe else read_pickled(path)
        tensors |= {
            name.removeprefix(prefix): tensor
            for name, tensor in found.items()
            if name.startswith(prefix) and isinstance(tensor, Tensor)
        }
    return tensors
