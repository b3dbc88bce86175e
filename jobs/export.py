"""Sounds of a store as files: `TO/<column>/<sample_id>.flac`, or `.wav`."""

import hashlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from jobs.recorded import recorded_manifest
from jobs.spec_error import SpecError, as_spec_error
from pipeline.progress import Progress, Silent
from pipeline.store import location
from pipeline.store.reader import LatentStore
from pipeline.store.schema import SAMPLE_ID, audio_rates
from workers.files import absolute, is_writable

BATCH = 64
"""Units whose sounds are in memory at a time."""
LONGEST_NAME_BYTES = 220
FileFormat = Literal["flac", "wav"]


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written."""

    folder: str
    columns: tuple[str, ...]
    num_files: int
    num_bytes: int


def export_store(
    store: str,
    folder: str,
    *,
    columns: Sequence[str] = (),
    file_format: FileFormat = "flac",
    progress: Progress | None = None,
) -> Exported:
    """Writes each sound of a store to a file of its own; one that is there already is replaced.

    Args:
        store: A store that holds sounds.
        folder: Where to; a folder or the URI of one. Made where it is missing.
        columns: Which sounds of each unit; all where empty.
        file_format: FLAC as it is stored, or 16-bit WAV.
        progress: Hears how far it is.

    Raises:
        SpecError: There is no such store, it holds no such sounds, or two units would have one file name.
    """
    recorded_manifest(store)
    with as_spec_error():
        folder = absolute(folder)
    if not is_writable(folder):
        raise SpecError(f"--to {folder}: can only be read; give a folder, or a URI of an object store")
    opened, progress = LatentStore(store), progress or Silent()
    chosen = _chosen(store, opened, columns)
    _refuse_repeated(opened.ids.to_pylist())
    num_files = num_bytes = 0
    for sample_id, sounds in _sounds(opened, chosen):
        name = file_name(sample_id)
        for column, flac in zip(chosen, sounds, strict=True):
            content = flac if file_format == "flac" else _wav(flac)
            path = location.join(folder, *f"{column}/{name}.{file_format}".split("/"))
            num_bytes += location.atomic_write(path, content, durable=False)
            num_files += 1
        progress.phase(f"writing {len(opened) * len(chosen):,} files", f"{num_files:,} done")
    return Exported(folder, chosen, num_files, num_bytes)


def file_name(sample_id: str) -> str:
    """A unit's id as a relative path without extension: no part of it leads upwards, is hidden, or is too long."""
    parts = [part for part in sample_id.replace("\\", "/").replace("\0", "_").split("/") if part not in ("", ".")]
    return "/".join(_short("_" + part[1:] if part.startswith(".") else part) for part in parts) or "_"


def _short(part: str) -> str:
    """Names that file systems take: 255 bytes, less an extension and what a half-written file is called."""
    encoded = part.encode()
    if len(encoded) <= LONGEST_NAME_BYTES:
        return part
    digest = hashlib.blake2b(encoded, digest_size=8).hexdigest()
    return f"{encoded[: LONGEST_NAME_BYTES - 17].decode(errors='ignore')}-{digest}"


def _refuse_repeated(ids: list[str]) -> None:
    """Refuses units of one file name, before any file is written."""
    names: dict[str, str] = {}
    for sample_id in ids:
        other = names.setdefault(file_name(sample_id), sample_id)
        if other != sample_id:
            raise SpecError(f"units {other!r} and {sample_id!r} would both be {file_name(sample_id)!r}")


def _chosen(store: str, opened: LatentStore, columns: Sequence[str]) -> tuple[str, ...]:
    there = tuple(audio_rates(opened.schema))
    if not there:
        raise SpecError(f"{store} holds no sounds; its columns are {', '.join(opened.columns)}")
    unknown = [name for name in columns if name not in there]
    if unknown:
        raise SpecError(f"{store} holds no sounds called {', '.join(unknown)}; there are {', '.join(there)}")
    return tuple(columns) or there


def _sounds(opened: LatentStore, columns: tuple[str, ...]) -> Iterator[tuple[str, list[bytes]]]:
    for batch in opened.iter_batches(BATCH, [SAMPLE_ID, *columns]):
        for row, sample_id in enumerate(batch[SAMPLE_ID]):
            yield str(sample_id), [batch[name][row]["bytes"] for name in columns]


def _wav(flac: bytes) -> bytes:
    import soundfile

    samples, rate = soundfile.read(io.BytesIO(flac), dtype="int16", always_2d=True)
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV", subtype="PCM_16")
    return file.getvalue()
