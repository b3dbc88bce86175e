"""Source → items: the table of what a job reads, one row each, before anything is opened.

A listing has the columns `_item` (unique name; the path relative to the source), `_path` (the file that holds it),
`_member` (where in that file, null if it is the whole) and then whatever the source says about its items. Rows are
sorted by `_item`, so the order in which a file system lists does not matter.
"""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.plan import LISTING_COLUMNS, PAIR_COLUMNS
from pipeline.source.audio_table import from_audio_tables, is_audio_table
from pipeline.source.errors import SourceError
from pipeline.source.folder import common_folder, relative_names, scan_folder
from pipeline.source.items import Items, whole_files
from pipeline.source.manifest import MANIFEST_EXTENSIONS, from_manifest
from pipeline.source.pattern import fixed_folder, has_wildcards, is_pattern, match_files
from pipeline.source.store_source import from_store, is_store
from pipeline.source.tar_shards import COMPRESSED_EXTENSIONS, from_shards
from pipeline.source_spec import SourceSpec
from workers.files import absolute, check_uri, is_uri, scheme_of, stat_file
from workers.files.uri import WEB, extension_of, without_query
from workers.media.extensions import AUDIO_EXTENSIONS, VIDEO_EXTENSIONS

MEDIA_EXTENSIONS = AUDIO_EXTENSIONS | VIDEO_EXTENSIONS
SHARD = ".tar"
TABLE = ".parquet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The items of a source."""

    items: pa.Table
    """Columns `_item`, `_path`, `_member`, then metadata; sorted by `_item`, which is unique."""

    ignored: Counter[str] = field(default_factory=Counter)
    """What was found that is not media, counted by extension."""

    notes: tuple[str, ...] = ()
    """Choices made for the user, one sentence each."""

    @property
    def metadata(self) -> pa.Schema:
        """The columns that are carried into the store."""
        return pa.schema([field for field in self.items.schema if field.name not in (*LISTING_COLUMNS, *PAIR_COLUMNS)])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """Files that a path stands for."""

    files: list[str]
    folder: str
    """That their names are relative to."""
    scanned: bool
    """Whether nobody named them: then what is not media is passed over."""


def list_source(spec: SourceSpec) -> Listing:
    """Lists what `spec` names.

    Raises:
        SourceError: nothing is there, it cannot be read, or two items have one name.
    """
    try:
        for path in (spec.path,) if isinstance(spec.path, str) else spec.path:
            check_uri(path)
        listing = _list(spec)
    except SourceError:
        raise
    except OSError as error:
        raise SourceError(f"source.path: cannot list {spec.path!r}: {error.strerror or error}") from error
    except ValueError as error:  # of a path that nothing opens, or that holds a secret: it is not repeated
        raise SourceError(f"source.path: {error}") from error
    if listing.items.num_rows == 0:
        found = ", ".join(f"{count} {ending}" for ending, count in listing.ignored.most_common(5))
        raise SourceError(
            f"source.path: no media files in {spec.path!r}"
            + (f" (found {found})" if found else "")
            + f"; looked for {' '.join(sorted(MEDIA_EXTENSIONS))}"
        )
    _refuse_repeated(listing.items["_item"], spec)
    return listing


def _list(spec: SourceSpec) -> Listing:
    if isinstance(spec.path, str):
        if extension_of(spec.path) in MANIFEST_EXTENSIONS and not _is_pattern_here(spec.path):
            if extension_of(spec.path) != TABLE or not is_audio_table(spec):
                _refuse_settings(spec, "a manifest", {"path_column", "id_column", "columns", "duration_column"})
                return Listing(items=from_manifest(spec))
        elif may_be_folder(spec.path) and is_store(spec.path):
            _refuse_settings(spec, "a store", {"columns", "duration_column", "audio_column"})
            items, notes = from_store(spec)
            return Listing(items=_sorted(items), notes=notes)
    found = _find(spec)
    shards = [file for file in found.files if extension_of(file) == SHARD]
    tables = [file for file in found.files if extension_of(file) == TABLE]
    media = [file for file in found.files if extension_of(file) in MEDIA_EXTENSIONS]
    if found.scanned and media:
        shards, tables = [], []
    if shards or tables:
        _refuse_mixture(found, shards, tables)
    compressed = next((f for f in found.files if without_query(f).lower().endswith(COMPRESSED_EXTENSIONS)), None)
    if compressed and not (found.scanned and media):
        raise SourceError(
            f"source.path: {compressed!r} is a compressed archive, whose members cannot be read in place;"
            " decompress it to a .tar (media are compressed already, so it hardly grows)"
        )
    if shards:
        _refuse_settings(spec, "tar shards", {"id_column", "columns", "duration_column", "member_extension"})
        items, ignored, notes = from_shards(shards, relative_names(shards, found.folder), spec)
        return Listing(items=_sorted(items), ignored=ignored + _others(found, {SHARD}), notes=notes)
    if tables:
        _refuse_settings(spec, "tables that hold audio", {"id_column", "columns", "duration_column", "audio_column"})
        items, notes = from_audio_tables(tables, relative_names(tables, found.folder), spec)
        return Listing(items=_sorted(items), ignored=_others(found, {TABLE}), notes=notes)
    manifests = [file for file in found.files if extension_of(file) in MANIFEST_EXTENSIONS]
    if manifests and not found.scanned:
        raise SourceError(
            f"source.path: {spec.path!r} stands for several files, and {manifests[0]!r} is a manifest;"
            " give one manifest"
        )
    _refuse_settings(spec, "files without a manifest", set())
    kept = media if found.scanned else found.files
    items = whole_files(relative_names(kept, found.folder), kept)
    return Listing(items=_sorted(items), ignored=_others(found, MEDIA_EXTENSIONS))


def _find(spec: SourceSpec) -> _Found:
    """The files that the path stands for.

    Raises:
        SourceError: there is nothing of that name.
    """
    if not isinstance(spec.path, str):
        files = [absolute(path) for path in spec.path]
        return _Found(files=files, folder=common_folder(files), scanned=False)
    path = spec.path
    if _is_pattern_here(path):
        return _Found(files=match_files(path), folder=absolute(fixed_folder(path)), scanned=False)
    if _is_file(path):
        return _Found(files=[absolute(path)], folder=common_folder([absolute(path)]), scanned=False)
    if may_be_folder(path):
        files = scan_folder(absolute(path))
        if files or not is_uri(path):
            return _Found(files=files, folder=absolute(path), scanned=True)
    why = "; a folder on the web cannot be listed" if scheme_of(path) in WEB else ""
    raise SourceError(
        f"source.path: {path!r} does not exist; give a folder, glob, media file or manifest, tar shards, tables with"
        f" audio, or a store{why}"
    )


def _is_pattern_here(path: str) -> bool:
    """Whether a path is a pattern, and not the name of something that looks like one."""
    if not is_pattern(path):
        return False
    if scheme_of(path) in WEB and has_wildcards(path):
        return True
    return not (_is_file(path) if is_uri(path) else os.path.exists(path))


def may_be_folder(path: str) -> bool:
    """Whether a path can be listed, as far as that can be told without listing it."""
    return scheme_of(path) not in WEB and not is_pattern(path) if is_uri(path) else os.path.isdir(path)


def _is_file(path: str) -> bool:
    if scheme_of(path) in WEB and path.endswith("/"):
        return False  # a server answers with a page
    try:
        stat_file(path)
    except (FileNotFoundError, IsADirectoryError):
        return False
    return is_uri(path) or os.path.isfile(path)


def _others(found: _Found, wanted: set[str] | frozenset[str]) -> Counter[str]:
    """What else was in a folder, by extension."""
    endings = (extension_of(file) for file in found.files if found.scanned)
    return Counter(ending or "(no extension)" for ending in endings if ending not in wanted)


def _refuse_mixture(found: _Found, shards: Sequence[str], tables: Sequence[str]) -> None:
    kinds = [kind for kind in (shards, tables) if kind]
    if len(kinds) > 1 or not (found.scanned or len(kinds[0]) == len(found.files)):
        other = next(file for file in found.files if file not in set(kinds[0]))
        raise SourceError(
            f"source.path: there are shards or tables beside something else, such as {kinds[0][0]!r} and {other!r};"
            " give a pattern that matches one kind of file, such as `*.tar`"
        )


def _refuse_settings(spec: SourceSpec, what: str, allowed: set[str]) -> None:
    """Settings that would have no effect are mistakes."""
    for name, setting in type(spec).model_fields.items():
        if name != "path" and name not in allowed and getattr(spec, name) != setting.default:
            raise SourceError(
                f"source.{name}: source.path {spec.path!r} is {what}, where it means nothing; leave it out, or give"
                " another path"
            )


def _sorted(table: pa.Table) -> pa.Table:
    items = Items()
    for column in table.schema:
        items.add(column.name, table[column.name], column)
    del table
    items.sort()
    return items.table()


def _refuse_repeated(names: pa.ChunkedArray, spec: SourceSpec) -> None:
    same = pc.equal(names.slice(0, len(names) - 1), names.slice(1))
    if pc.any(same, min_count=0).as_py():
        repeated = pc.unique(names.slice(1).filter(same))
        raise SourceError(
            f"source.path: {len(repeated)} item(s) stand more than once in {spec.path!r}, such as"
            f" {repeated[0].as_py()!r}; set source.id_column to a manifest column that tells them apart"
        )
