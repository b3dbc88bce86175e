"""Probes, plans and decodes the files of a folder, as a job does without Ray; prints what became of them as JSON.

A process of its own, since it also tells the most memory that it and its children took.
"""

import json
import re
import resource
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa

import pipeline.decode
from pipeline.blocks import form_blocks
from pipeline.decode import WAVEFORM, decode_block
from pipeline.failure import FAILURE
from pipeline.plan import PlanSettings, build_plan
from pipeline.probe import probe_items
from pipeline.segment_spec import SegmentSpec
from workers.audio.decode_spec import DecodeSpec
from workers.guarded.limits import GuardLimits

SPEC = DecodeSpec(sample_rate=16_000)


def main(folder: Path, limits: GuardLimits) -> None:
    """Prints {unit: {stage, error_type, reason} or the number of samples that are not zero}, and peaks in bytes."""
    names = sorted(path.name for path in folder.iterdir() if path.is_file())
    columns = {"_item": names, "_path": [str(folder / name) for name in names], "_member": [None] * len(names)}
    items = pa.table(columns, pa.schema([(name, pa.string()) for name in columns]))
    probes = probe_items(items, None, lambda _: None, limits=limits)
    settings = PlanSettings(
        segment=SegmentSpec(length_seconds=1.0, max_segments=3),
        decode=SPEC,
        alignment_samples=1,
        min_samples=1,
        seed=0,
    )
    outcomes: dict[str, object] = {}
    for block in form_blocks(build_plan(items, probes, settings).table(), 64):
        decoded = decode_block(block, SPEC, limits=limits)
        waveforms = np.frombuffer(decoded[WAVEFORM].combine_chunks().buffers()[1], np.float32)
        waveforms = waveforms.reshape(decoded.num_rows, -1)
        assert np.isfinite(waveforms).all()
        for name, failure, waveform in zip(
            decoded["sample_id"].to_pylist(), decoded[FAILURE].to_pylist(), waveforms, strict=True
        ):
            assert failure is None or not waveform.any()
            outcomes[name] = failure or int(np.count_nonzero(waveform))
    for _, guard in pipeline.decode._guards.values():
        guard.__exit__(None, None, None)  # only children that ended are counted
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss << 10
    print(json.dumps({"outcomes": outcomes, "parent_peak": own_peak(), "children_peak": children}))  # noqa: T201


def own_peak() -> int:
    """Most bytes that this process held; `getrusage` would give those of the process that started it, if more."""
    try:
        found = re.search(r"^VmHWM:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return int(found[1]) << 10 if found else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


if __name__ == "__main__":
    main(Path(sys.argv[1]), GuardLimits(seconds=float(sys.argv[2]), memory_gib=float(sys.argv[3])))
