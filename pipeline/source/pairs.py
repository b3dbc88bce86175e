"""Two sources as items that are pairs: what was made, and what it was made from.

```
reference    a.wav  b.flac  c.wav          item    _path      _candidate_path   _pair_status
candidate    a.wav  b.wav          d.wav   a.wav   …/a.wav    …/a.wav           ok
                                           b.flac  …/b.flac   …/b.wav           ok
                                           c.wav   …/c.wav                      no_candidate
                                           d.wav   …/d.wav                      no_reference
```
"""

import re

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.source.errors import SourceError
from pipeline.source.items import Items
from pipeline.source.listing import MEDIA_EXTENSIONS, Listing, list_source
from pipeline.source.match_by import MatchBy
from pipeline.source_spec import SourceSpec

_EXTENSION = rf"(?i)\.(?:{'|'.join(sorted(extension[1:] for extension in MEDIA_EXTENSIONS))})((?:#\d+)*)$"
_SETTING = re.compile(rf"\bsource(?=: |\.({'|'.join(SourceSpec.model_fields)})\b)")


def list_pairs(
    reference: SourceSpec, candidate: SourceSpec, *, match_by: MatchBy, may_be_unpaired: bool = False
) -> Listing:
    """Lists two sources and joins them by the names of their items.

    Args:
        reference: what was made from; pairs have its names, metadata and order.
        candidate: what was made.
        match_by: `stem` leaves out the extensions of media files, `name` does not.
        may_be_unpaired: whether there need not be a single pair.

    Returns:
        The pairs, and items of either source without a counterpart.

    Raises:
        SourceError: one cannot be listed, two of its items have one name, or there has to be a pair and is none.
    """
    first, second = _list(reference, "reference"), _list(candidate, "candidate")
    keys, others = _keys(first.items, match_by, "reference"), _keys(second.items, match_by, "candidate")
    found = pc.index_in(keys, value_set=others)
    if found.null_count == len(found) and not may_be_unpaired:
        raise SourceError(
            f"candidate.path: none of its {len(others):,} items has the name of one of reference.path, which are called"
            f" {keys[0].as_py()!r} and so on; these are called {others[0].as_py()!r}. Give folders of the same"
            " structure, or name the items with id_column"
        )
    candidates = second.items.take(found)
    items = _replace(
        first.items,
        _candidate_path=candidates["_path"],
        _candidate_member=candidates["_member"],
        _pair_status=pc.if_else(pc.is_null(found), "no_candidate", "ok"),
        _error=pc.coalesce(_errors(first.items, "reference"), _errors(candidates, "candidate")),
    )
    alone = second.items.filter(pc.is_null(pc.index_in(others, value_set=keys)))
    alone = _replace(
        alone.select(["_item", "_path", "_member"]),
        _pair_status=pa.array(["no_reference"] * alone.num_rows, pa.string()),
        _error=_errors(alone, "candidate"),
    )
    fields = [field.with_nullable(True) for field in items.schema]  # what has no reference has no columns of it
    both = pa.concat_tables([items.cast(pa.schema(fields)), alone], promote_options="default")
    return Listing(items=_sorted(both), ignored=first.ignored + second.ignored, notes=first.notes + second.notes)


def _list(spec: SourceSpec, side: str) -> Listing:
    """A source, with messages that call it by the field that it is in."""
    try:
        listing = list_source(spec)
    except SourceError as error:
        raise SourceError(_SETTING.sub(side, str(error))) from error
    notes = tuple(_SETTING.sub(side, note) for note in listing.notes)
    return Listing(items=listing.items, ignored=listing.ignored, notes=notes)


def _keys(items: pa.Table, match_by: MatchBy, side: str) -> pa.Array:
    """What items are joined by.

    Raises:
        SourceError: two have the same.
    """
    names = items["_item"].combine_chunks()
    keys = names if match_by == "name" else pc.replace_substring_regex(names, pattern=_EXTENSION, replacement=r"\1")
    counted = pc.value_counts(keys)
    repeated = counted.filter(pc.greater(counted.field("counts"), 1)).field("values")
    if len(repeated):
        same = names.filter(pc.equal(keys, repeated[0])).to_pylist()
        raise SourceError(
            f"{side}.path: {same[0]!r} and {same[1]!r} differ in their extensions alone, so that it is unclear which"
            " one is meant; set match_by: name, or take one away"
        )
    return keys


def _errors(items: pa.Table, side: str) -> pa.ChunkedArray:
    """What a source knows to be wrong with items, and that it is this source."""
    if "_error" not in items.column_names:
        return pa.chunked_array([pa.nulls(items.num_rows, pa.string())])
    return pc.binary_join_element_wise(items["_error"], f"({side})", " ")


def _replace(items: pa.Table, **columns: pa.Array | pa.ChunkedArray) -> pa.Table:
    for name, column in columns.items():
        at = items.column_names.index(name) if name in items.column_names else None
        items = items.append_column(name, column) if at is None else items.set_column(at, name, column)
    return items


def _sorted(table: pa.Table) -> pa.Table:
    items = Items()
    for column in table.schema:
        items.add(column.name, table[column.name], column)
    items.sort()
    return items.table()
