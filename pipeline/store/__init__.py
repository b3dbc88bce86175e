"""The store: Parquet parts that are the job's output and its checkpoint, and the reader of them."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.store.reader import LatentStore

__all__ = ["LatentStore"]


def __getattr__(name: str) -> Any:
    """Import the reader when it is first asked for: a writer's process does without it."""
    if name == "LatentStore":
        from pipeline.store.reader import LatentStore

        return LatentStore
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
