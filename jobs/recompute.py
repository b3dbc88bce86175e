"""Making units of a store again, in this process and without Ray, and comparing them with what the store holds."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.environment import environment
from jobs.prepare import PROBES
from jobs.recorded import recorded_facts, recorded_job, recorded_manifest
from jobs.spec_error import SpecError, as_spec_error
from pipeline.blocks import form_blocks
from pipeline.failure import BlockFailure, read_failures
from pipeline.model_stage import ModelStage
from pipeline.progress import Progress
from pipeline.saved_plan import open_plan
from pipeline.seeds import unit_seed
from pipeline.store import location
from pipeline.store.columns import with_encoded_audio
from pipeline.store.compare import Difference
from pipeline.store.part import DamagedPartError, read_part_table
from pipeline.store.reader import LatentStore
from pipeline.store.schema import (
    MICROBATCH,
    SAMPLE_ID,
    SHAPE_SUFFIX,
    has_varying_shape,
    store_schema,
    tensor_columns,
    undigested,
)
from pipeline.torch_worker import TorchWorker

BLOCK_BYTES = 64 << 20
"""Bound on the decoded audio that is held at a time."""
MODEL_STAGES = frozenset({"model"})
"""Stages whose failure does not mean that a recording cannot be read."""
EXAMPLES = 20


@dataclass(slots=True, kw_only=True)
class Recomputation:
    """How units that were made again compare with those of the store."""

    num_units: int = 0
    num_equal: int = 0
    """Bit for bit, metadata included."""
    different: list[str] = field(default_factory=list)
    """Ids of units that differ."""
    difference: Difference = field(default_factory=Difference)
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    """Ids of units whose recording cannot be read now, with the reason."""
    failed: list[tuple[str, str]] = field(default_factory=list)
    """Ids of units that the model failed on now, with the reason."""
    changed_sources: list[str] = field(default_factory=list)
    """Recordings of units that differ and that are not the recordings that the store was made from."""
    num_reduced: int = 0
    """Units that were made in a smaller microbatch than the spec's, as in the store."""
    environment: dict[str, tuple[str | None, str | None]] = field(default_factory=dict)
    """What differs between there and here, by name."""

    def as_json(self) -> dict[str, Any]:
        """Plain values for a program."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        pairs = {name: dict(values[name]) for name in ("unreadable", "failed")}
        return values | pairs | {"difference": self.difference.as_json(), "num_different": len(self.different)}


class Remaker:
    """A store's job, ready to make units of its plan again."""

    def __init__(self, store: str) -> None:
        """Read the job and look for its model; loads nothing yet.

        Raises:
            SpecError: The store's units cannot be made here; the message says why.
        """
        self.store = store
        manifest = recorded_manifest(store)
        self.job = recorded_job(store)
        if self.job.device_kind == "cuda":
            import torch

            if not torch.cuda.is_available():
                raise SpecError(
                    f"{store} was computed on a GPU ({manifest.environment.get('device')}), and torch finds none here:"
                    " its bytes can be made again on such a machine only"
                )
        with as_spec_error():
            self._work = self.job.work()
        try:
            self._plan = open_plan(store)
        except (FileNotFoundError, DamagedPartError) as error:
            raise SpecError(str(error)) from error
        recorded = recorded_facts(manifest)
        if "stored" in recorded.keys() - self._work.facts.keys():
            raise SpecError(
                f"{store} was made of a store of {recorded['stored']}, which is not at the source.path of its"
                f" {location.JOB} now: put it back, or run the job again with the source.path where it is"
            )
        for name, value in self._work.facts.items():
            if name in recorded and recorded[name] != value:
                raise SpecError(
                    f"{store}: {name} are not those that it was made with: {recorded[name]} there, {value} here."
                    " Put the files of model.weights back"
                )
        self._inputs = self.job.inputs()
        self._decode = self._inputs.decoder(self._work.decode, self.job.limits.of_decoding)
        now = environment(self.job.device_kind)
        self.environment: dict[str, tuple[str | None, str | None]] = {
            name: (manifest.environment.get(name), value)
            for name, value in now.items()
            if manifest.environment.get(name) != value
        }
        self._stage = cache(self._load)

    @property
    def microbatch(self) -> int:
        """Rows that the model sees at once."""
        return self._work.worker.microbatch

    def units(self, ids: list[str]) -> pa.Table:
        """Rows of the plan, those of `ids` that it has."""
        return self._plan.filter(self._plan.named(pa.array(ids, pa.string()))).table()

    def like(self, sample_id: str) -> list[str]:
        """Up to three ids of the plan, of the same recording where there are any."""
        ids = self._plan[SAMPLE_ID]
        near: list[str] = ids.filter(pc.starts_with(ids, sample_id.partition("#")[0]))[:3].to_pylist()
        return near or [name.as_py() for name in ids[:3]]

    def make(self, units: pa.Table, microbatch: int) -> Iterator[tuple[str, dict[str, Any] | BlockFailure]]:
        """Makes units again.

        Args:
            units: Rows of the plan.
            microbatch: Rows to compute at once.

        Yields:
            Id and row (as `LatentStore` gives it, without digest), or why there is none.
        """
        bytes_each = 4 * max(pc.multiply(units["_bucket_samples"], units["_bucket_channels"]).to_pylist(), default=1)
        for block in form_blocks(units, max(1, BLOCK_BYTES // bytes_each)):
            made = self._stage(microbatch)(self._decode(block))
            yield from zip(made[SAMPLE_ID].to_pylist(), self._rows(made), strict=True)

    def retry(self, units: pa.Table, microbatch: int) -> Iterator[tuple[str, dict[str, Any] | BlockFailure]]:
        """Like `make`, and looks again at recordings whose header could not be read when the plan was made.

        Such a recording is one unit of unknown length in the plan: where it can be read now, that is said instead.
        """
        if not self._inputs.decodes:
            yield from self.make(units, microbatch)  # there are no headers: the plan knows what is wrong with a row
            return
        broken = units.filter(pc.is_valid(units["_probe_error"]))
        if broken.num_rows:
            probes = self.probe(broken)
            errors = dict(zip(probes["item"].to_pylist(), probes["error"].to_pylist(), strict=True))
            now = "its header can be read now: run the job again, which cuts it into units and makes them"
            for name, source in zip(broken[SAMPLE_ID].to_pylist(), broken["source"].to_pylist(), strict=True):
                yield name, BlockFailure(stage="probe", error_type="MediaError", reason=errors[source] or now)
        whole = units.filter(pc.is_null(units["_probe_error"]))
        if whole.num_rows:
            yield from self.make(whole, microbatch)

    def probe(self, units: pa.Table) -> pa.Table:
        """The headers of the recordings of some units as they are now, a table of PROBE_SCHEMA."""
        names = ["source", *self._inputs.columns]
        items = units.select(names).group_by(names).aggregate([]).rename_columns(["_item", *names[1:]])
        return self._inputs.probe(items, None, lambda _: None, self.job.limits.of_decoding).probes

    def _load(self, microbatch: int) -> ModelStage:
        import torch

        worker: Any = self._work.worker
        if microbatch != worker.microbatch:
            worker = worker.model_copy(update={"microbatch": microbatch})
        return ModelStage(
            load=partial(TorchWorker, self._work.load_worker),
            spec=worker,
            threads=torch.get_num_threads(),
            variable_length=self._work.variable_length,
            batch=self._inputs.batch,
        )

    def _rows(self, made: pa.Table) -> Iterator[dict[str, Any] | BlockFailure]:
        samples, channels = made["_bucket_samples"][0].as_py(), made["_bucket_channels"][0].as_py()
        outputs = self._work.worker.outputs(samples, channels)
        schema = store_schema(outputs, pa.schema([]), variable_length=self._work.variable_length)
        tensors = tensor_columns(schema)
        shapes = {output.name: output.shape for output in outputs}
        varying = {name for name in tensors if has_varying_shape(schema, name)}
        made = with_encoded_audio(made, schema)
        names = [name for name in made.column_names if not name.startswith("_") and name not in undigested(schema)]
        for failure, row in zip(read_failures(made), made.select(names).to_pylist(), strict=True):
            if failure is not None:
                yield failure
                continue
            for name, tensor in tensors.items():
                shape = row.pop(name + SHAPE_SUFFIX, None) if name in varying else None
                row[name] = np.frombuffer(row[name], np.dtype(tensor.dtype)).reshape(shape or shapes[name])
            yield row


def sample_ids(ids: pa.Array, fraction: float, seed: int) -> list[str]:
    """About `fraction` of the ids, by a seeded hash of each: the sample of a larger fraction holds that of a smaller.

    Args:
        ids: Of units.
        fraction: Above 0 and at most 1.
        seed: Another one gives another sample.
    """
    limit = round(fraction * 2**64)
    return [name for name in ids.to_pylist() if unit_seed(seed, name, "recompute") < limit]


def recompute(remaker: Remaker, ids: list[str], progress: Progress) -> Recomputation:
    """Makes stored units again and compares.

    Args:
        remaker: Of their store.
        ids: Units that the store holds.
        progress: Hears how far it is.
    """
    opened = LatentStore(remaker.store)
    result = Recomputation(num_units=len(ids), environment=remaker.environment)
    for microbatch, units in _by_microbatch(opened, remaker.units(ids), remaker.microbatch):
        if microbatch != remaker.microbatch:
            result.num_reduced += units.num_rows
        for done, (name, made) in enumerate(remaker.make(units, microbatch), start=1):
            progress.phase(f"making {len(ids):,} units again", f"{done:,} done")
            _count(result, name, made, opened)
    result.changed_sources = _changed_sources(remaker, result.different)
    return result


def _count(result: Recomputation, name: str, made: dict[str, Any] | BlockFailure, opened: LatentStore) -> None:
    if isinstance(made, BlockFailure):
        failures = result.failed if made.stage in MODEL_STAGES else result.unreadable
        failures.append((name, made.reason))
        return
    difference = Difference()
    difference.add(opened.by_id(name), made)
    if difference.is_empty:
        result.num_equal += 1
    else:
        result.different.append(name)
        result.difference.merge(difference)


def _by_microbatch(opened: LatentStore, plan: pa.Table, usual: int) -> Iterator[tuple[int, pa.Table]]:
    """Units by the number of rows that were computed at once for them."""
    if MICROBATCH not in opened.columns:
        yield usual, plan
        return
    sizes = np.array(opened.read(plan[SAMPLE_ID].to_pylist(), [MICROBATCH])[MICROBATCH], np.int64)
    for size in sorted({*sizes.tolist()}, reverse=True):
        yield size, plan.filter(pa.array(sizes == size))


def _changed_sources(remaker: Remaker, ids: list[str]) -> list[str]:
    """Recordings of these units whose content is not what the plan was made from, as far as their fingerprint tells."""
    try:
        before = read_part_table(location.join(remaker.store, location.PLAN, PROBES))
    except (FileNotFoundError, DamagedPartError):
        return []
    if not ids:
        return []
    known = dict(zip(before["item"].to_pylist(), before["fingerprint"].to_pylist(), strict=True))
    now = remaker.probe(remaker.units(ids))
    pairs = zip(now["item"].to_pylist(), now["fingerprint"].to_pylist(), strict=True)
    return sorted(name for name, fingerprint in pairs if name in known and known[name] != fingerprint)
