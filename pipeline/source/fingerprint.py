"""Whether a source is still what it was, told without listing it."""

from hashlib import blake2b
from typing import Any

from pipeline.source.manifest import MANIFEST_EXTENSIONS
from pipeline.source_spec import SourceSpec
from workers.files import open_file, stat_file
from workers.files.uri import extension_of

MAX_BYTES = 4 << 30
"""A larger file holds the recordings themselves, and takes longer to read than to list."""
_BLOCK_BYTES = 1 << 22


def fingerprint(spec: SourceSpec) -> dict[str, Any] | None:
    """What the listing of a source follows from, as plain values.

    There is one for a manifest that says how long its items are: nothing else is looked at before they are decoded. Of
    other sources files have to be listed, and looked at, to tell.

    Returns:
        The settings and a digest of the file; none where listing has to tell, or the file cannot be read.
    """
    path = spec.path
    if spec.duration_column is None or not isinstance(path, str):
        return None
    if extension_of(path) not in MANIFEST_EXTENSIONS:
        return None
    digest = blake2b(digest_size=16)
    try:
        if stat_file(path).size > MAX_BYTES:
            return None
        with open_file(path) as file:
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
    except (OSError, ValueError):
        return None
    return {"settings": spec.model_dump(mode="json"), "digest": digest.hexdigest()}
