"""Torch around a worker, and nowhere else: arrays in and out, a lost GPU context, actors that never import it."""

import subprocess
import sys
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.torch_worker import TorchWorker, Worker


class Numbered(Exception):
    """Instead of the end of this process."""


def load(said: str) -> Worker:
    """A worker that doubles, or says why it cannot."""

    def worker(batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        if said:
            raise RuntimeError(said)
        return {name: 2 * tensor for name, tensor in batch.items()}

    return worker


def test_arrays_come_back_as_arrays_of_the_same_dtype() -> None:
    batch = {"waveform": np.ones((2, 1, 4), np.float32), "num_samples": np.array([4, 3])}
    for array in batch.values():
        array.setflags(write=False)  # as blocks are, in Ray's memory
    computed = TorchWorker(load, "", torch.get_num_threads())(batch)
    assert {name: array.dtype for name, array in computed.items()} == {"waveform": np.float32, "num_samples": np.int64}
    np.testing.assert_array_equal(computed["waveform"], 2 * batch["waveform"])
    np.testing.assert_array_equal(computed["num_samples"], [8, 6])


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("CUDA error: an illegal memory access was encountered", Numbered),
        ("CUDA error: out of memory", RuntimeError),
        ("no such kernel", RuntimeError),
    ],
)
def test_a_process_ends_with_its_gpu_context(
    said: str, expected: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def leave(status: int) -> None:
        raise Numbered(f"left with {status}")

    monkeypatch.setattr("pipeline.torch_worker.os._exit", leave)
    worker = TorchWorker(load, said, torch.get_num_threads())
    with pytest.raises(expected, match="left with 1" if expected is Numbered else said):
        worker({"waveform": np.zeros((1, 1, 4), np.float32)})


def test_without_it_the_pipeline_does_not_import_torch() -> None:
    """Torch takes some 250 MB of every process: of decode and commit tasks, and of actors whose worker has no use."""
    script = (
        "import sys\n"
        "import pipeline.graph, pipeline.decode, pipeline.commit\n"
        "from tests.pipeline.test_passes import CopySpec, fake_decode, load_copy, plan_of\n"
        "stage = pipeline.graph.ModelStage(load_copy, CopySpec(), threads=1, variable_length=False)\n"
        "made = stage(fake_decode(plan_of(2).table()))\n"
        "assert made['microbatch'].to_pylist() == [2, 2]\n"
        "assert 'torch' not in sys.modules\n"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
