"""Reading files of tensors, none of whose content gets run."""

import pickle
from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor


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
        try:
            if path.suffix == ".safetensors":
                with safe_open(path, framework="pt") as file:
                    found = {name: file.get_tensor(name) for name in file.keys() if name.startswith(prefix)}  # noqa: SIM118
            else:
                found = torch.load(path, map_location="cpu", weights_only=True)
        except (SafetensorError, pickle.UnpicklingError, OSError, RuntimeError, EOFError) as error:
            raise ValueError(
                f"{path} ({path.stat().st_size} bytes) is cut short or damaged: fetch it again "
                f"({(str(error) or type(error).__name__).splitlines()[0]})"
            ) from error
        tensors |= {
            name.removeprefix(prefix): tensor
            for name, tensor in found.items()
            if name.startswith(prefix) and isinstance(tensor, Tensor)
        }
    return tensors
