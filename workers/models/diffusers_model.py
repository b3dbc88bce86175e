"""Models of diffusers: from their files, or of their shape with random weights."""

import warnings
from collections.abc import Mapping
from typing import Any

import torch

from workers.models.checkpoint import Checkpoint
from workers.models.seeded_init import initialise


def load_diffusers_model(checkpoint: Checkpoint | None, random_config: Mapping[str, Any], seed: int) -> Any:
    """A model for inference, float32 on the CPU, whatever type it was saved in.

    Args:
        checkpoint: Its files; the class is that of their config.
        random_config: What is made where there are none.
        seed: Of the weights then.

    Raises:
        ValueError: The files do not fit their config.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*weight_norm.* is deprecated", category=FutureWarning)
        model = _random(random_config, seed) if checkpoint is None else _load(checkpoint)
    return model.eval().requires_grad_(False)


def _load(checkpoint: Checkpoint) -> Any:
    import diffusers

    try:
        model, found = getattr(diffusers, checkpoint.config["_class_name"]).from_pretrained(
            checkpoint.folder,
            variant=checkpoint.variant,
            use_safetensors=checkpoint.files[0].suffix == ".safetensors",
            torch_dtype=torch.float32,
            low_cpu_mem_usage=False,
            local_files_only=True,
            output_loading_info=True,
        )
    except (OSError, RuntimeError, TypeError) as error:
        raise ValueError(f"the weights in {checkpoint.folder} do not fit its config.json: {error}") from error
    if missing := sorted(found["missing_keys"]):
        some = ", ".join(missing[:3]) + (" …" if len(missing) > 3 else "")
        raise ValueError(f"the weights in {checkpoint.folder} lack {len(missing)} tensors of its config.json: {some}")
    return model


def _random(config: Mapping[str, Any], seed: int) -> Any:
    import diffusers

    model_class = getattr(diffusers, config["_class_name"])
    # Built without memory first: modules would draw their initial weights from torch's global generator.
    with torch.device("meta"):
        model = model_class.from_config(dict(config))
    model.to_empty(device="cpu")
    initialise(model, seed)
    return model
