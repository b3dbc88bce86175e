"""Models of transformers from a checkpoint's files, whole or not at all."""

from typing import Any

import torch

from workers.models.checkpoint import Checkpoint


def load_pretrained(model_class: Any, checkpoint: Checkpoint, *, may_have_more: bool = False) -> Any:
    """Load a model in float32, for inference, and no weight of it drawn at random.

    Args:
        model_class: Of transformers.
        checkpoint: Its files.
        may_have_more: Whether the files may hold weights that the class has no use for.

    Raises:
        ValueError: The files do not fit their config; the message says which weights.
    """
    from transformers.utils import logging

    logging.disable_progress_bar()  # of loading weights, which a summary need not have
    try:
        model, found = model_class.from_pretrained(
            checkpoint.folder,
            variant=checkpoint.variant,
            use_safetensors=checkpoint.files[0].suffix == ".safetensors",
            dtype=torch.float32,
            local_files_only=True,
            output_loading_info=True,
        )
    except (OSError, RuntimeError, TypeError) as error:
        raise ValueError(f"the weights in {checkpoint.folder} do not fit its config.json: {error}") from error
    # What is missing was drawn at random, and differs from process to process.
    kinds = (
        ("missing_keys", "mismatched_keys") if may_have_more else ("missing_keys", "unexpected_keys", "mismatched_keys")
    )
    wrong = {kind: sorted(map(str, found[kind])) for kind in kinds}
    if any(wrong.values()):
        told = "; ".join(f"{kind.replace('_', ' ')}: {', '.join(names[:3])}" for kind, names in wrong.items() if names)
        raise ValueError(f"the weights in {checkpoint.folder} do not fit its config.json ({told})")
    return model.eval().requires_grad_(False)


def found_checkpoint(checkpoint: Checkpoint | None) -> Checkpoint:
    """The checkpoint of a model whose weights are never random."""
    assert checkpoint is not None  # by its settings
    return checkpoint
