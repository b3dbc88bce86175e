"""One file of a store, looked at byte by byte and row by row; changes nothing.

A file is read into memory as a whole and not mapped: where a disk is failing, a read raises an error that can be
reported, while touching a mapped page would end the process.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.store import location
from pipeline.store.digest import row_digests
from pipeline.store.manifest import ColumnSummary, summarise_schema
from pipeline.store.schema import ROW_DIGEST, ROW_DIGEST_BYTES, SAMPLE_ID, content_schema
from pipeline.store.seal import SealState, check_seal
from pipeline.store.statistics import METADATA_KEY, ChannelSums, decode_sums, merge_sums, table_sums
from pipeline.store.writer import part_name

REMAKE_PART = "restore it from a copy, or run the job again, which sets it aside and makes just its units anew"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it was written."""

    file: str
    """Within the store; the store itself where no single file is to blame."""
    what: str
    remedy: str
    """What to do about it."""


@dataclass(slots=True, kw_only=True)
class FileFacts:
    """What was found in one Parquet file."""

    name: str
    """Within the store."""
    num_bytes: int = 0
    seal: SealState = "broken"
    incomplete: bool = False
    """Whether some of it, or all, cannot be read."""
    findings: list[Finding] = field(default_factory=list)

    def find(self, what: str, remedy: str) -> None:
        """Notes that something is wrong with the file."""
        self.findings.append(Finding(self.name, what, remedy))


@dataclass(slots=True, kw_only=True)
class TableFacts(FileFacts):
    """A table that was read whole."""

    table: pa.Table | None = None
    """None if it cannot be read."""


@dataclass(slots=True, kw_only=True)
class PartFacts(FileFacts):
    """A part of `data/`."""

    ids: pa.LargeStringArray = field(default_factory=lambda: pa.array([], pa.large_string()))
    digests: pa.FixedSizeBinaryArray = field(default_factory=lambda: pa.array([], pa.binary(ROW_DIGEST_BYTES)))
    """Of the rows as they are now, recomputed; in the order of `ids`."""
    groups: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    """Row group of each row."""
    rows: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    """Position of each row in the file; not consecutive where a row group cannot be read."""
    sums: dict[str, ChannelSums] = field(default_factory=dict)
    """Of the tensors as they are now."""


def inspect_table(store: str, name: str, remedy: str, columns: Sequence[str] | None = None) -> TableFacts:
    """Reads a table of the store that has no row digests, such as the plan; its checksum says whether it is whole.

    Args:
        store: The store.
        name: Of the file in it, which is there.
        remedy: What to do if it is damaged.
        columns: To keep in memory; all if none.
    """
    facts = TableFacts(name=name)
    content = _read(store, facts, remedy)
    file = None if content is None else _open(content, facts, remedy)
    if file is None:
        return facts
    try:
        if facts.seal == "absent":  # then that all of it decodes is the best that can be said
            for group in range(file.metadata.num_row_groups):
                file.read_row_group(group, use_threads=False)
        facts.table = file.read(columns=columns, use_threads=False)
    except Exception as error:  # noqa: BLE001 (whatever damaged bytes do to a decoder is a fact about this file)
        facts.find(f"does not decode: {_first_line(error)}", remedy)
        return facts
    if facts.seal == "broken":
        facts.find("its bytes are not those that were written: the checksum differs", remedy)
    return facts


def inspect_part(store: str, file_name: str, columns: tuple[ColumnSummary, ...] | None) -> PartFacts:
    """Reads a part of `data/` once, and compares it with everything that it says about itself.

    Args:
        store: The store.
        file_name: Of the part, under `data/`.
        columns: That the manifest lists; None if there is no manifest.
    """
    facts = PartFacts(name=f"{location.DATA}/{file_name}")
    content = _read(store, facts, REMAKE_PART)
    file = None if content is None else _open(content, facts, REMAKE_PART)
    if content is None or file is None:
        return facts
    if columns is not None and summarise_schema(file.schema_arrow) != columns:
        facts.find("its columns are not those of the manifest", REMAKE_PART)
    missing = [name for name in (SAMPLE_ID, ROW_DIGEST) if name not in file.schema_arrow.names]
    if missing:
        facts.find(f"has no column {' and no '.join(missing)}: it is no part of a store", "move it out of the store")
        return facts
    wrong = _read_rows(file, facts)
    if facts.seal == "broken":
        _tell_broken(file, content, facts, wrong)
    elif wrong:
        facts.find(_rows_that_differ(wrong, file.metadata.num_rows), REMAKE_PART)
    if not facts.findings:
        _check_claims(file, facts, file_name)
    return facts


def _read(store: str, facts: FileFacts, remedy: str) -> bytes | None:
    """The file's bytes; their number and whether they are those that were written go into `facts`."""
    try:
        content = location.read_bytes(location.join(store, *facts.name.split("/")))
    except OSError as error:
        facts.find(f"cannot be read: {error.strerror or error}", remedy)
        facts.incomplete = True
        return None
    facts.num_bytes = len(content)
    facts.seal = check_seal(content)
    return content


def _open(content: bytes, facts: FileFacts, remedy: str) -> Any:
    """The file's reader, or None."""
    try:
        return pq.ParquetFile(pa.py_buffer(content))
    except Exception as error:  # noqa: BLE001 (as above)
        facts.find(f"is no whole Parquet file ({len(content):,} bytes): {_first_line(error)}", remedy)
        facts.incomplete = True
        return None


def _read_rows(file: Any, facts: PartFacts) -> list[str]:
    """Recomputes digests and sums, one row group at a time; ids of rows whose stored digest says something else."""
    schema = file.schema_arrow
    ids, digests, groups, rows, sums, wrong = [], [], [], [], [], []
    first = 0
    for group in range(file.metadata.num_row_groups):
        num_rows = file.metadata.row_group(group).num_rows
        try:
            table = file.read_row_group(group, use_threads=False)
            now = row_digests(table, schema)
            sums.append(table_sums(table, content_schema(schema)))
        except Exception as error:  # noqa: BLE001 (as above)
            facts.find(f"row group {group} ({num_rows:,} rows) does not decode: {_first_line(error)}", REMAKE_PART)
            facts.incomplete = True
        else:
            names = table.column(SAMPLE_ID).combine_chunks().cast(pa.large_string())
            differ = pc.not_equal(now, table.column(ROW_DIGEST).combine_chunks())
            wrong += as_text(names.filter(pc.fill_null(differ, True)))
            ids.append(names)
            digests.append(now)
            groups.append(np.full(len(names), group, np.int32))
            rows.append(first + np.arange(len(names)))
        first += num_rows
    if ids:
        facts.ids, facts.digests = pa.concat_arrays(ids), pa.concat_arrays(digests)
        facts.groups, facts.rows = np.concatenate(groups), np.concatenate(rows)
    facts.sums = merge_sums(sums)
    return wrong


def _tell_broken(file: Any, content: bytes, facts: PartFacts, wrong: list[str]) -> None:
    """Says where a file whose checksum differs was hit, as closely as that can be told."""
    places = _bad_chunks(content)
    where = f" ({', '.join(places[:3])}{', …' if len(places) > 3 else ''})" if places else ""
    if wrong:
        facts.find(_rows_that_differ(wrong, file.metadata.num_rows) + where, REMAKE_PART)
    elif not facts.findings:
        rows = (
            "its rows still equal their digests, so the damage is beside them" if len(facts.ids) else "it has no rows"
        )
        facts.find(f"its bytes are not those that were written{where}: the checksum differs; {rows}", REMAKE_PART)


def _bad_chunks(content: bytes) -> list[str]:
    """Column chunks whose page checksums differ."""
    file = pq.ParquetFile(pa.py_buffer(content), page_checksum_verification=True)
    bad = []
    for group in range(file.metadata.num_row_groups):
        for column in file.schema_arrow.names:
            try:
                file.read_row_group(group, columns=[column], use_threads=False)
            except Exception:  # noqa: BLE001 (as above)
                bad.append(f"column {column}, row group {group}")
    return bad


def _rows_that_differ(wrong: list[str], num_rows: int) -> str:
    return f"{len(wrong):,} of {num_rows:,} rows are not what was written, such as {wrong[0]!r}"


def _check_claims(file: Any, facts: PartFacts, file_name: str) -> None:
    """What a sound file says about itself: its name, and the sums over its tensors."""
    try:
        expected = part_name(pa.chunked_array([facts.ids]))
    except ValueError as error:
        facts.find(str(error), REMAKE_PART)
        return
    if expected != file_name:
        facts.find(f"its name is not that of the units in it, which is {expected}", "give it its own name back")
    claimed = (file.metadata.metadata or {}).get(METADATA_KEY)
    if claimed is None or decode_sums(claimed) != facts.sums:
        facts.find("the sums in its footer, for the store's statistics, are not those of its rows", REMAKE_PART)


def as_text(ids: pa.Array) -> list[str]:
    """Ids as Python strings, even those that a flipped bit made invalid UTF-8."""
    return [name.decode(errors="replace") for name in ids.cast(pa.large_binary()).to_pylist()]


def _first_line(error: Exception) -> str:
    """What a decoder had to say, without its advice."""
    return (str(error) or type(error).__name__).splitlines()[0].split(". ")[0].rstrip(".")
