"""The store: Parquet parts that are the job's output and its checkpoint, and the readers of them."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.store.reader import LatentStore
    from pipeline.store.torch_data import LatentBatches, LatentDataset, LatentLoader

__all__ = ["LatentBatches", "LatentDataset", "LatentLoader", "LatentStore"]

_HOMES = {
    "LatentStore": "pipeline.store.reader",
    "LatentBatches": "pipeline.store.torch_data",
    "LatentDataset": "pipeline.store.torch_data",
    "LatentLoader": "pipeline.store.torch_data",
}


def __getattr__(name: str) -> Any:
    """Import a reader when it is first asked for: a writer's process does without any, and a store without torch."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
