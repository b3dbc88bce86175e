"""From settings to a model's parts."""

import hashlib
import json
from typing import Any

import torch

from workers.models.audiogen.audiogen_spec import AudioGenSpec
from workers.models.audiogen.checkpoint import AudioGenCheckpoint
from workers.models.audiogen.random_checkpoint import RANDOM_INIT_VERSION, random_checkpoint
from workers.models.audiogen.text_encoder import TextEncoder
from workers.models.weights import add_file, weights_digest


def load_weights(spec: AudioGenSpec, *, dtype: torch.dtype = torch.float32) -> AudioGenCheckpoint:
    """A model's shape and tensors, on the CPU.

    Args:
        spec: Which model.
        dtype: Of the language model's tensors where weights are random; others keep the type of their file.

    Raises:
        ValueError: Its files are missing, damaged, or not what is built here; the message says what to do.
    """
    if spec.weights == "random":
        return random_checkpoint(spec.shape(), spec.seed, dtype=dtype)
    return spec.files().load()


def load_text_encoder(spec: AudioGenSpec) -> TextEncoder:
    """The text encoder of a model, on the CPU.

    Args:
        spec: Which model, resolved.

    Raises:
        ValueError: The spec is not resolved; the encoder's files are missing or damaged; or its states are not as wide
            as those that the language model was trained on.
    """
    encoder = TextEncoder(spec.resolved_text_encoder())
    spec.check_text_width(encoder.text_dim)
    return encoder


def audiogen_digest(spec: AudioGenSpec) -> str:
    """SHA-256 over all that decides what a model computes, as hex; equal wherever its files lie.

    Args:
        spec: Which model, resolved.

    Raises:
        ValueError: The spec is not resolved, or files cannot be found or fetched.
    """
    if spec.text_encoder is None:
        raise ValueError("text_encoder is still null; call resolved() first")
    digest = hashlib.sha256()
    facts: dict[str, Any] = {"kind": spec.kind, "shape": spec.shape().model_dump(mode="json", exclude={"text_encoder"})}
    if spec.weights == "random":
        facts |= {"seed": spec.seed, "init": RANDOM_INIT_VERSION}
    else:
        for path in spec.files().weight_paths:
            add_file(digest, path)
    facts["text_encoder"] = weights_digest(spec.text_encoder)
    digest.update(json.dumps(facts, sort_keys=True, separators=(",", ":")).encode())
    return digest.hexdigest()
