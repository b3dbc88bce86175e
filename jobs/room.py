"""Room in the output: how much a job will write, how much there is, and what to say when it cannot be written."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from jobs.prepare import Prepared
from jobs.spec_error import SpecError
from jobs.summary import format_bytes
from pipeline.failure import StoreWriteError
from pipeline.pending import pending_units
from pipeline.planned import Plan
from pipeline.store import location
from pipeline.store.columns import column_bytes


def bytes_to_write(prepared: Prepared, units: Plan) -> int:
    """Bytes of the tensors that these units of the plan will give; those that cannot be read will give none."""
    return sum(
        count * column_bytes(column)
        for (samples, channels), count in units.filter(units.readable).shapes.items()
        for column in prepared.work.worker.outputs(samples, channels)
    )


def check_room(prepared: Prepared, pending: Plan) -> None:
    """Refuses to begin what cannot end: tensors are stored as they are, so they take at least this much.

    Raises:
        SpecError: the tensors of `pending` are larger than what is free.
    """
    store, needed = prepared.job.output, bytes_to_write(prepared, pending)
    free = location.free_bytes(store)
    if free is not None and needed > free:
        raise SpecError(
            f"output: {store} has {format_bytes(free)} free, but {pending.num_rows:,} units with {format_bytes(needed)}"
            " are still to be written; free some and run the same again, or give another output"
        )


@contextmanager
def room_in_errors(prepared: Prepared) -> Iterator[None]:
    """Whatever cannot be written below is told with the place, the room that is needed, and the room that there is.

    Raises:
        StoreWriteError: in place of it.
    """
    store = prepared.job.output
    try:
        yield
    except StoreWriteError as error:
        raise StoreWriteError(f"{error}. {_room(prepared)}") from error
    except OSError as error:
        if store not in str(error):
            raise
        raise StoreWriteError(f"{store}: cannot be written: {error}. {_room(prepared)}") from error


def _room(prepared: Prepared) -> str:
    """What is left to do and what there is to do it with, as far as it can be found out now."""
    store, facts = prepared.job.output, []
    with suppress(OSError, ValueError):
        pending = pending_units(prepared.plan, store)
        needed = format_bytes(bytes_to_write(prepared, pending))
        facts.append(f"{pending.num_rows:,} of {prepared.plan.num_rows:,} units, {needed}, are still to be written")
    with suppress(OSError):
        free = location.free_bytes(store)
        facts += [f"{format_bytes(free)} are free there"] if free is not None else []
    return f"{' and '.join(facts)}. What is committed is kept: mend it and run the same again".lstrip(". ")
