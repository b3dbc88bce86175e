"""Sounds of a store as files, `TO/<column>/<sample_id>.flac` or as a pattern says, with an `index.csv` beside them."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from jobs.conditions import condition, describe_values
from jobs.export_index import write_index
from jobs.file_names import COLUMN, VARIATION, NamePattern
from jobs.recorded import recorded_manifest
from jobs.spec_error import SpecError, as_spec_error
from pipeline.progress import Progress, Silent
from pipeline.store import location
from pipeline.store.reader import LatentStore
from pipeline.store.schema import SAMPLE_ID, audio_rates, scalar_columns
from workers.files import absolute, is_writable

BATCH = 64
"""Units whose sounds are in memory at a time."""
_ROWS = 4096
DEFAULT_NAME = "{column}/{sample_id}"
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
    name: str = DEFAULT_NAME,
    only: Sequence[str] = (),
    columns: Sequence[str] = (),
    file_format: FileFormat = "flac",
    progress: Progress | None = None,
) -> Exported:
    """Writes each sound of a store to a file of its own; one that is there already is replaced.

    Args:
        store: A store that holds sounds.
        folder: Where to; a folder or the URI of one. Made where it is missing.
        name: Pattern of a file's path below the folder, without extension (`NamePattern`). Where it does not name the
            `{column}`, and there are several, each has a folder.
        only: Conditions `COLUMN=VALUE` on the units; of those on one column, any may hold.
        columns: Which sounds of each unit; all where empty.
        file_format: FLAC as it is stored, or 16-bit WAV.
        progress: Hears how far it is.

    Raises:
        SpecError: There is no such store, it holds no such sounds or units, the pattern or a condition is wrong, or two
            files would have one name. Nothing was written then.
    """
    recorded_manifest(store)
    with as_spec_error():
        folder = absolute(folder)
    if not is_writable(folder):
        raise SpecError(f"--to {folder}: can only be read; give a folder, or a URI of an object store")
    opened, progress = LatentStore(store), progress or Silent()
    chosen = _chosen(store, opened, columns)
    files = _named(store, opened, name, only, chosen, file_format)
    paths, num_files, num_bytes = iter(files), 0, 0
    while some := list(islice(paths, BATCH * len(chosen))):
        units = some[:: len(chosen)]
        sounds = opened.read([files[path] for path in units], chosen)
        for place, path in enumerate(some):
            unit, column = divmod(place, len(chosen))
            flac = sounds[chosen[column]][unit]["bytes"]
            content = flac if file_format == "flac" else _wav(flac)
            num_bytes += location.atomic_write(location.join(folder, *path.split("/")), content, durable=False)
        num_files += len(some)
        progress.phase(f"writing {len(files):,} files", f"{num_files:,} done")
    write_index(folder, opened, files)
    return Exported(folder, chosen, num_files, num_bytes)


def _chosen(store: str, opened: LatentStore, columns: Sequence[str]) -> tuple[str, ...]:
    there = tuple(audio_rates(opened.schema))
    if not there:
        raise SpecError(f"{store} holds no sounds; its columns are {', '.join(opened.columns)}")
    unknown = [name for name in columns if name not in there]
    if unknown:
        raise SpecError(f"{store} holds no sounds called {', '.join(unknown)}; there are {', '.join(there)}")
    return tuple(dict.fromkeys(columns)) or there


def _named(
    store: str, opened: LatentStore, name: str, only: Sequence[str], chosen: tuple[str, ...], file_format: FileFormat
) -> dict[str, str]:
    """Path of each file → id of its unit, the sounds of a unit next to each other; units in the order of the disk."""
    pattern = NamePattern(name, scalar_columns(opened.schema))
    apart = len(chosen) > 1 and COLUMN not in pattern.fields
    table = opened.select([*dict.fromkeys([SAMPLE_ID, *pattern.columns])], where=condition(opened.schema, only))
    if only and not table.num_rows:
        raise SpecError(
            f"no unit of {store} has {' and '.join(only)}; of all {len(opened):,}, {describe_values(opened, only)}"
        )
    files: dict[str, str] = {}
    for batch in table.to_batches(_ROWS):
        for row in batch.to_pylist():
            for column in chosen:
                path = f"{column}/" * apart + f"{pattern.name(row, column)}.{file_format}"
                if path in files:
                    raise SpecError(_repeated(path, files[path], row[SAMPLE_ID], pattern))
                files[path] = row[SAMPLE_ID]
    return files


def _repeated(path: str, first: str, second: str, pattern: NamePattern) -> str:
    missing = [f"{{{field}}}" for field in (SAMPLE_ID, VARIATION) if field not in pattern.fields]
    remedy = f"add {' or '.join(missing)} to --name {pattern.pattern}"
    if SAMPLE_ID in pattern.fields:  # ids that differ in what file systems do not take
        remedy = f"export one of them elsewhere, by --only '{SAMPLE_ID}={second}'"
    return f"units {first!r} and {second!r} would both be {path!r}; {remedy}"


def _wav(flac: bytes) -> bytes:
    import soundfile

    samples, rate = soundfile.read(io.BytesIO(flac), dtype="int16", always_2d=True)
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV", subtype="PCM_16")
    return file.getvalue()
