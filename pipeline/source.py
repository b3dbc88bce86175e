"""Source → items: the table of media files that a job reads, one row each, before anything is opened.

A listing has the columns `_item` (unique name; the path relative to the source), `_path` (where to open it) and then
whatever the manifest carries. Rows are sorted by `_item`, so the order in which a file system lists does not matter.
"""

import glob
import itertools
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet

from pipeline.decode import WAVEFORM
from pipeline.failure import FAILURE
from pipeline.plan import UNIT_COLUMNS
from pipeline.source_spec import SourceSpec
from pipeline.store.schema import BASE_FIELDS, DIGEST_FIELD
from workers.media.extensions import AUDIO_EXTENSIONS, VIDEO_EXTENSIONS

MEDIA_EXTENSIONS = AUDIO_EXTENSIONS | VIDEO_EXTENSIONS
MANIFEST_EXTENSIONS = frozenset({".csv", ".tsv", ".jsonl", ".parquet"})
INTERNAL_COLUMNS = frozenset({"_item", "_path", WAVEFORM, FAILURE, *UNIT_COLUMNS.names})
"""Columns of the plan and of the blocks that travel through a pass. What is not stored begins with `_`."""
RESERVED_COLUMNS = INTERNAL_COLUMNS | {field.name for field in (*BASE_FIELDS, DIGEST_FIELD)}


JSON_BLOCK_BYTES = 64 << 20
"""No line of a JSONL manifest may be longer."""


class SourceError(ValueError):
    """The source as a whole cannot be read; single files that cannot are quarantined instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The items of a source."""

    items: pa.Table
    """Columns `_item`, `_path`, then metadata; sorted by `_item`, which is unique."""

    ignored: Counter[str]
    """Files in a scanned folder that are not media, counted by extension."""

    @property
    def metadata(self) -> pa.Schema:
        """The columns that are carried into the store."""
        return pa.schema([field for field in self.items.schema if field.name not in ("_item", "_path")])


def list_source(spec: SourceSpec) -> Listing:
    """Lists what `spec` names.

    Raises:
        SourceError: nothing is there, a manifest cannot be read, or two items have one name.
    """
    ignored: Counter[str] = Counter()
    if not isinstance(spec.path, str):
        table = _below_common_folder([os.path.abspath(path) for path in spec.path])
    elif os.path.isdir(spec.path):
        files, ignored = _scan(spec.path)
        table = _table([os.path.relpath(file, spec.path) for file in files], files)
    elif Path(spec.path).suffix.lower() in MANIFEST_EXTENSIONS and not _is_glob(spec.path):
        table = _from_manifest(spec)
    elif os.path.isfile(spec.path):
        table = _below_common_folder([os.path.abspath(spec.path)])
    elif _is_glob(spec.path):
        files = [file for file in glob.glob(spec.path, recursive=True) if os.path.isfile(file)]
        folder = _folder_before_wildcards(spec.path)
        table = _table([os.path.relpath(file, folder) for file in files], [os.path.abspath(file) for file in files])
    else:
        raise SourceError(f"source.path: {spec.path!r} does not exist; give a folder, glob, media file or manifest")
    if table.num_rows == 0:
        found = ", ".join(f"{count} {ending}" for ending, count in ignored.most_common(5))
        raise SourceError(
            f"source.path: no media files in {spec.path!r}"
            + (f" (found {found})" if found else "")
            + f"; looked for {' '.join(sorted(MEDIA_EXTENSIONS))}"
        )
    return Listing(items=_unique(table.sort_by("_item"), spec), ignored=ignored)


def _is_glob(path: str) -> bool:
    return any(character in path for character in "*?[") and not os.path.exists(path)


def _table(names: Iterable[str], paths: Iterable[str]) -> pa.Table:
    names = [name.replace(os.sep, "/") for name in names]
    for name in names:
        if not name.isprintable() and any("\udc80" <= character <= "\udcff" for character in name):
            raise SourceError(f"source.path: the file name {os.fsencode(name)!r} is not valid UTF-8; rename the file")
    return pa.table({"_item": pa.array(names, pa.string()), "_path": pa.array(list(paths), pa.string())})


def _scan(folder: str) -> tuple[list[str], Counter[str]]:
    """Media files below `folder`; hidden ones are passed over, a linked folder is followed once, never in circles."""
    files: list[str] = []
    ignored: Counter[str] = Counter()

    def fail(error: OSError) -> None:
        raise SourceError(f"source.path: cannot list {error.filename!r}: {error.strerror}") from error

    seen = {os.path.realpath(folder)}
    for parent, folders, names in os.walk(folder, followlinks=True, onerror=fail):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in [name for name in folders if os.path.islink(os.path.join(parent, name))]:
            target = os.path.realpath(os.path.join(parent, name))
            if target in seen or (os.path.realpath(parent) + os.sep).startswith(target + os.sep):
                folders.remove(name)
            seen.add(target)
        for name in names:
            extension = os.path.splitext(name)[1].lower()
            if name.startswith("."):
                continue
            if extension in MEDIA_EXTENSIONS:
                files.append(os.path.join(parent, name))
            else:
                ignored[extension or "(no extension)"] += 1
    return files, ignored


def _folder_before_wildcards(pattern: str) -> str:
    """The fixed part of a glob: names relative to it do not depend on which files there are."""
    return os.path.join(os.curdir, *itertools.takewhile(lambda part: not glob.has_magic(part), Path(pattern).parts))


def _below_common_folder(paths: list[str]) -> pa.Table:
    """The files that a spec lists, named relative to the deepest folder that holds them all."""
    base = os.path.commonpath([os.path.dirname(path) for path in paths])
    return _table([os.path.relpath(path, base) for path in paths], paths)


def _from_manifest(spec: SourceSpec) -> pa.Table:
    assert isinstance(spec.path, str)
    manifest = _without_views(_read_table(spec))
    repeated = [name for name, count in Counter(manifest.column_names).items() if count > 1]
    if repeated:
        raise SourceError(f"{spec.path}: column {repeated[0]!r} stands there more than once; rename one")
    for column in (spec.path_column, *((spec.id_column,) if spec.id_column else ()), *(spec.columns or ())):
        if column not in manifest.column_names:
            raise SourceError(f"{spec.path}: no column {column!r}; it has {', '.join(manifest.column_names)}")
    paths = _filled(manifest, spec.path_column, spec)
    names = _filled(manifest, spec.id_column, spec) if spec.id_column else paths
    base = os.path.dirname(os.path.abspath(spec.path))
    table = pa.table({"_item": names, "_path": pa.array([os.path.join(base, path) for path in paths.to_pylist()])})
    carried = spec.columns or [name for name in manifest.column_names if name not in (spec.path_column, spec.id_column)]
    for name in carried:
        if name in RESERVED_COLUMNS:
            raise SourceError(
                f"{spec.path}: column {name!r} has a name that the store uses itself;"
                " rename it, or list the columns to carry in source.columns"
            )
        table = table.append_column(manifest.schema.field(name).remove_metadata(), manifest[name])
    return table


def _filled(manifest: pa.Table, name: str, spec: SourceSpec) -> pa.ChunkedArray:
    """A column of texts without gaps."""
    texts = manifest[name].cast(pa.string())
    row = pc.index(pc.equal(pc.fill_null(texts, ""), ""), True).as_py()
    if row >= 0:
        raise SourceError(f"{spec.path}: column {name!r} is empty in data row {row + 1}")
    return texts


def _without_views(table: pa.Table) -> pa.Table:
    """The table with plain strings for the string views that some writers prefer and few kernels take."""
    plain = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}
    return table.cast(pa.schema([field.with_type(plain.get(field.type, field.type)) for field in table.schema]))


def _read_table(spec: SourceSpec) -> pa.Table:
    path = str(spec.path)
    extension = Path(path).suffix.lower()
    try:
        if extension in (".csv", ".tsv"):
            parsing = pa.csv.ParseOptions(delimiter="\t" if extension == ".tsv" else ",", newlines_in_values=True)
            names = [name for name in (spec.path_column, spec.id_column) if name]
            texts = pa.csv.ConvertOptions(column_types={name: pa.string() for name in names})  # an id 007 stays 007
            return pa.csv.read_csv(path, parse_options=parsing, convert_options=texts)
        if extension == ".jsonl":
            return pa.json.read_json(path, read_options=pa.json.ReadOptions(block_size=JSON_BLOCK_BYTES))
        return pa.parquet.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise SourceError(f"source.path: cannot read the manifest {path!r}: {error}") from error


def _unique(items: pa.Table, spec: SourceSpec) -> pa.Table:
    counts = items["_item"].value_counts()
    names, numbers = counts.flatten() if isinstance(counts, pa.StructArray) else counts.combine_chunks().flatten()
    repeated = pc.sum(pc.greater(numbers, 1)).as_py()
    if repeated:
        example = names.filter(pc.greater(numbers, 1))[0].as_py()
        raise SourceError(
            f"source.path: {repeated} item(s) stand more than once in {spec.path!r}, such as {example!r};"
            " set source.id_column to a manifest column that tells them apart"
        )
    return items
