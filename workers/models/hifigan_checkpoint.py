"""Reading the checkpoint of a HiFi-GAN's generator, none of whose content gets run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from workers.models.saved_tensors import read_pickled, read_safetensors
from workers.models.weight_norm import fold_weight_norm

_SHOWN = 3


def read_generator(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """The weights of a generator, with weight norms folded in.

    Args:
        path: Of safetensors, or of what torch saved: tensors by name, or `{"generator": tensors by name}`.
        shapes: Of the weights that its config calls for.

    Returns:
        float32, by the names of `shapes`.

    Raises:
        ValueError: The file is cut short, damaged or would run code, holds something else, or does not fit `shapes`.
    """
    state = _tensors(path, read_safetensors(path) if path.suffix == ".safetensors" else read_pickled(path))
    try:
        folded = fold_weight_norm({name: tensor.float() for name, tensor in state.items()})
    except ValueError as error:
        raise ValueError(f"{path} does not fit together: {error}") from error
    missing = [name for name in shapes if name not in folded]
    unexpected = [name for name in folded if name not in shapes]
    reshaped = [
        f"{name} {list(tensor.shape)} where {list(shapes[name])} is expected"
        for name, tensor in folded.items()
        if name in shapes and tensor.shape != shapes[name]
    ]
    wrong = {"missing": missing, "unexpected": unexpected, "of another shape": reshaped}
    if any(wrong.values()):
        told = "; ".join(f"{kind}: {_some(names)}" for kind, names in wrong.items() if names)
        raise ValueError(
            f"the weights in {path} do not fit its config.json ({told}): give the config.json that the generator was "
            "trained with, and a HiFi-GAN"
        )
    return folded


def _tensors(path: Path, held: Any) -> dict[str, Tensor]:
    """The generator in what a file holds."""
    state = held.get("generator", held) if isinstance(held, dict) else held
    if not isinstance(state, dict) or not state:
        raise ValueError(f"{path} holds a {type(state).__name__}, expected a generator's tensors by name")
    if wrong := [
        str(name) for name, value in state.items() if not (isinstance(value, Tensor) and isinstance(name, str))
    ]:
        raise ValueError(
            f"{path} has the entries {_some([str(name) for name in state])}, and no tensor under {wrong[0]}: expected "
            "a generator's tensors by name, or an entry generator with them"
        )
    return state


def _some(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
