"""Encodes under an ever lower limit on the process's memory, until fewer rows fit, and until none does.

Run as a process of its own by `test_microbatch.py`; prints what happened as JSON.
"""

import gc
import json
import resource
import sys
from pathlib import Path

import torch

from workers.encode_worker import EncodeWorker
from workers.encode_worker_spec import EncodeWorkerSpec
from workers.microbatch import NoMemoryError

NUM_ROWS = 20
STEP_BYTES = 8 << 20


def main() -> None:
    torch.set_num_threads(1)
    model = {"kind": "audio_vae", "weights": "random", "base_channels": 16, "num_res_blocks": 1}
    worker = EncodeWorker(EncodeWorkerSpec(model=model, device="cpu", microbatch=8))
    num_samples = 64 * worker.spec.alignment_samples
    rows = {
        "waveform": 0.1 * torch.randn(NUM_ROWS, 1, num_samples, generator=torch.Generator().manual_seed(0)),
        "num_samples": torch.full((NUM_ROWS,), num_samples),
        "seed": torch.arange(NUM_ROWS),
    }
    expected = worker(rows)
    report = {"undisturbed": expected["microbatch"].unique().tolist(), "sizes": [], "equal": True}
    for headroom in range(20 * STEP_BYTES, 0, -STEP_BYTES):
        gc.collect()
        resource.setrlimit(resource.RLIMIT_DATA, (data_bytes() + headroom, resource.RLIM_INFINITY))
        try:
            result = worker(rows)
        except NoMemoryError as error:
            report["error"] = str(error)
            break
        report["sizes"] = sorted({*report["sizes"], *result["microbatch"].tolist()})
        report["equal"] &= all(torch.equal(result[name], expected[name]) for name in result if name != "microbatch")
    json.dump(report, sys.stdout)


def data_bytes() -> int:
    """What counts for the limit: private writable memory."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmData")]
    return 1024 * int(line.split()[1])


if __name__ == "__main__":
    main()
