"""What lies in a store's folders and is no part of it."""

from pipeline.store import location
from pipeline.store.damaged import SUFFIX as DAMAGED_SUFFIX

_SHOWN = 3
_OWN = {location.MANIFEST, location.JOB, location.INDEX, location.DATA, location.QUARANTINE, location.PLAN}


def find_strays(store: str) -> list[str]:
    """A sentence for each kind of thing that a reader passes over: temporaries, damaged files set aside, others'."""
    temporaries, damaged, foreign = [], [], []
    for folder in ("", location.DATA, location.QUARANTINE, location.PLAN):
        for name in location.list_names(location.join(store, folder) if folder else store):
            path = f"{folder}/{name}" if folder else name
            if name.startswith(".") and name.endswith(".tmp"):
                temporaries.append(path)
            elif name.endswith(DAMAGED_SUFFIX):
                damaged.append(path)
            elif not folder and name in _OWN | {location.LOGS, location.CLAIM}:
                continue
            elif not (folder and name.endswith(".parquet") and not name.startswith(".")):
                foreign.append(path)
    kinds = (
        (temporaries, "half-written, by a run that goes on or was killed; the next run removes what is an hour old"),
        (damaged, "set aside by a run because they were damaged; delete them if you do not need them"),
        (foreign, "not latentmill's; no reader looks at them"),
    )
    return [f"{len(paths):,} file(s) {what}: {_listed(paths)}" for paths, what in kinds if paths]


def _listed(paths: list[str]) -> str:
    return ", ".join(paths[:_SHOWN]) + (", …" if len(paths) > _SHOWN else "")
