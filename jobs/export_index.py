"""`index.csv` beside exported files: which file is which unit, with all that the store says of it in plain values."""

from collections.abc import Iterator, Mapping
from itertools import islice

import pyarrow as pa
import pyarrow.csv

from pipeline.store import location
from pipeline.store.reader import LatentStore
from pipeline.store.schema import SAMPLE_ID, scalar_columns

INDEX = "index.csv"
FILE, STORED_FILE = "file", "file_"
"""The path below the folder, and what a column of the store is called that has the same name."""
_ROWS = 4096


def write_index(folder: str, opened: LatentStore, files: Mapping[str, str]) -> None:
    """Writes the table, replacing one that is there.

    Texts are quoted, a quote in them doubled; what is not quoted and empty is null.

    Args:
        folder: Where the files are.
        opened: The store.
        files: Relative path of each file → id of its unit; gives the order.
    """
    names = [SAMPLE_ID, *(name for name in scalar_columns(opened.schema) if name != SAMPLE_ID)]
    columns = {STORED_FILE if name == FILE else name: name for name in names}
    fields = [(shown, opened.schema.field(name).type) for shown, name in columns.items()]
    schema = pa.schema([(FILE, pa.string()), *fields])

    def write(file: pa.NativeFile) -> None:
        with pyarrow.csv.CSVWriter(file, schema) as table:
            for paths in _some(iter(files)):
                rows = opened.read([files[path] for path in paths], names)
                values = {shown: rows[name] for shown, name in columns.items()}
                table.write_table(pa.table({FILE: paths, **values}, schema=schema))

    location.atomic_write(location.join(folder, INDEX), write, durable=False)


def _some(paths: Iterator[str]) -> Iterator[list[str]]:
    while some := list(islice(paths, _ROWS)):
        yield some
