"""The identity of a model's weights."""

import hashlib
import json
from pathlib import Path
from typing import Any

from workers.models.audiogen.text_encoder_spec import TextEncoderSpec
from workers.models.encoder_spec import EncoderSpec
from workers.models.hearing_spec import HearingSpec
from workers.models.vocoder_spec import VocoderSpec
from workers.spec import Spec

# Part of the digest of random weights: change it when the way they are drawn changes.
_RANDOM_INIT_VERSION = "random weights 1"


def weights_digest(spec: EncoderSpec | VocoderSpec | TextEncoderSpec | HearingSpec) -> str:
    """SHA-256 over a model's config, weights and what goes with them, as hex; equal wherever the files lie.

    For random weights it covers the architecture and the seed, of which they are a function.

    Raises:
        ValueError: The files cannot be found or fetched; the message says what to do.
    """
    digest = hashlib.sha256()
    checkpoint = spec.checkpoint()
    if checkpoint is None:
        config = spec.config()
        architecture = config.model_dump(mode="json") if isinstance(config, Spec) else config
        _add_json(digest, {"kind": spec.kind, "architecture": architecture, "seed": spec.seed})
        digest.update(_RANDOM_INIT_VERSION.encode())
        return digest.hexdigest()
    # save_pretrained notes the library's version and the folder it came from; neither changes a latent.
    settings = {key: value for key, value in checkpoint.config.items() if key == "_class_name" or key[0] != "_"}
    _add_json(digest, {"kind": spec.kind, "config": settings})
    for path in (*checkpoint.companions, *checkpoint.files):
        add_file(digest, path)
    return digest.hexdigest()


def add_file(digest: Any, path: Path) -> None:
    """Length and bytes of a file."""
    digest.update(path.stat().st_size.to_bytes(8, "little"))
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)


def _add_json(digest: Any, value: Any) -> None:
    digest.update(json.dumps(value, sort_keys=True, separators=(",", ":")).encode() + b"\0")
