"""Files under a committed name that are not whole: cut short by a file system or a copy, never by this program.

A Parquet file ends in its footer, which says where everything lies, so a file that lost its end is known by a look at
it. Damage in the middle is found by `verify`, which reads every byte.
"""

from concurrent.futures import ThreadPoolExecutor

from pipeline.store import location
from pipeline.store.part import DamagedPartError, Part

SUFFIX = ".damaged"
"""Added to the name of a file that is set aside: no reader's glob takes it for data then."""
_TRAILER_BYTES = 8  # length of the footer, and the magic
_THREADS = 8


def damaged_files(store: str) -> list[DamagedPartError]:
    """What is damaged among the parts and the quarantine, by a look at each file's footer; changes nothing."""
    paths = [
        location.join(store, folder, name)
        for folder in (location.DATA, location.QUARANTINE)
        for name in location.list_files(location.join(store, folder))
    ]
    with ThreadPoolExecutor(_THREADS) as pool:
        return [error for error in pool.map(_damage, paths) if error is not None]


def set_aside_damaged(store: str) -> list[str]:
    """Renames damaged files to `<name>.damaged`, so that their units are found missing and made anew.

    Returns:
        A sentence for each.
    """
    told = []
    for error in damaged_files(store):
        location.rename(error.path, error.path + SUFFIX)
        told.append(
            f"{error.path} was damaged: it is {error.path.rpartition('/')[2]}{SUFFIX} now, its units are made anew"
        )
    return told


def _damage(path: str) -> DamagedPartError | None:
    try:
        part = Part(path)
    except FileNotFoundError:
        return None
    except DamagedPartError as error:
        return error
    footer = len(part.bytes) - _TRAILER_BYTES - part.metadata.serialized_size
    groups = [part.metadata.row_group(group) for group in range(part.metadata.num_row_groups)]
    for chunk in (group.column(column) for group in groups for column in range(group.num_columns)):
        start = chunk.data_page_offset if chunk.dictionary_page_offset is None else chunk.dictionary_page_offset
        if start + chunk.total_compressed_size > footer:
            return DamagedPartError(path, len(part.bytes), "its footer points behind its end")
    return None
