"""One size for all microbatches, and smaller ones where memory runs out: injected, and for real in a child process."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from workers.encode_worker import EncodeWorker
from workers.encode_worker_spec import EncodeWorkerSpec
from workers.microbatch import NoMemoryError, in_microbatches, is_out_of_memory, microbatches

GREEDY = Path(__file__).parent / "greedy_encode.py"


@pytest.mark.parametrize(("num_rows", "pieces"), [(1, 1), (4, 1), (5, 2), (9, 3)])
def test_pieces_have_one_size_and_zero_padding(num_rows: int, pieces: int) -> None:
    tensor = torch.arange(1, num_rows + 1).view(-1, 1).float()
    result = list(microbatches(tensor, 4))
    assert [piece.shape for piece in result] == [(4, 1)] * pieces
    joined = torch.cat(result)
    assert torch.equal(joined[:num_rows], tensor)
    assert joined[num_rows:].eq(0).all()


def test_full_pieces_are_views() -> None:
    tensor = torch.zeros(8, 3)
    assert next(microbatches(tensor, 4)).data_ptr() == tensor.data_ptr()


@pytest.mark.parametrize("num_rows", [1, 4, 9])
def test_results_are_those_of_the_rows(num_rows: int) -> None:
    sizes = []

    def sum_and_product(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        sizes.append((len(x), len(y)))
        return torch.stack([x + y, x * y])

    x, y = torch.randn(num_rows, 3, generator=torch.Generator().manual_seed(0)), torch.arange(num_rows).view(-1, 1)
    computed = in_microbatches(sum_and_product, x, y, size=4)
    assert torch.equal(computed.values, torch.stack([x + y, x * y]))
    assert computed.sizes.tolist() == [4] * num_rows
    assert set(sizes) == {(4, 4)}


@pytest.mark.gpu
def test_results_come_back_from_a_gpu() -> None:
    x = torch.arange(9.0)
    assert torch.equal(in_microbatches(lambda piece: 2 * piece.cuda()[None], x, size=4).values, 2 * x[None])


class Device:
    """Doubles rows, with room for `room` of them; remembers how many came."""

    def __init__(self, room: int, error: type[Exception] = torch.OutOfMemoryError, failures: int = 1000) -> None:
        self.room, self.error, self.failures = room, error, failures
        self.seen: list[int] = []

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        self.seen.append(len(rows))
        if len(rows) > self.room and self.failures:
            self.failures -= 1
            raise self.error("out of memory: tried to allocate 2.00 GiB")
        return 2 * rows[None]


@pytest.mark.parametrize(
    ("size", "room", "num_rows", "seen", "sizes"),
    [
        (8, 4, 11, [8, 8, 4, 4, 4], [4] * 11),
        (8, 2, 5, [8, 8, 4, 2, 2, 2], [2] * 5),
        (8, 3, 3, [8, 8, 4, 2, 2], [2] * 3),
        (6, 3, 7, [6, 6, 3, 3, 3], [3] * 7),
        (3, 2, 3, [3, 3, 2, 2], [2] * 3),
        (3, 1, 2, [3, 3, 2, 1, 1], [1] * 2),
    ],
)
def test_what_does_not_fit_is_tried_again_and_then_halved(
    size: int, room: int, num_rows: int, seen: list[int], sizes: list[int]
) -> None:
    device, rows = Device(room), torch.arange(3.0 * num_rows).view(-1, 3)
    computed = in_microbatches(device, rows, size=size)
    assert torch.equal(computed.values, 2 * rows[None])
    assert (device.seen, computed.sizes.tolist()) == (seen, sizes)


def test_a_retry_may_be_enough_and_leaves_no_mark() -> None:
    device, rows = Device(0, failures=1), torch.arange(20.0).view(-1, 1)
    computed = in_microbatches(device, rows, size=8)
    assert torch.equal(computed.values, 2 * rows[None])
    assert (device.seen, computed.sizes.tolist()) == ([8, 8, 8, 8], [8] * 20)


def test_rows_before_the_first_that_did_not_fit_keep_their_size() -> None:
    rows, calls = torch.arange(12.0).view(-1, 1), []

    def crowded_later(piece: torch.Tensor) -> torch.Tensor:
        calls.append(len(piece))
        if len(piece) > 2 and piece.max() > 5:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return piece[None]

    computed = in_microbatches(crowded_later, rows, size=4)
    assert torch.equal(computed.values, rows[None])
    assert computed.sizes.tolist() == [4] * 4 + [2] * 8


def test_what_never_fits_says_so_with_its_numbers() -> None:
    with pytest.raises(
        NoMemoryError, match=r"out of memory even with one row at a time \(8 is the job's microbatch\): out"
    ):
        in_microbatches(Device(0), torch.zeros(3, 1), size=8)


def test_tensors_of_the_failed_attempt_are_gone_before_the_next() -> None:
    alive: list[bool] = []
    kept: list[Callable[[], object]] = []

    def compute(rows: torch.Tensor) -> torch.Tensor:
        import weakref

        alive.extend(reference() is not None for reference in kept)
        scratch = torch.zeros(1000)
        kept.append(weakref.ref(scratch))
        if len(kept) < 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return rows[None]

    in_microbatches(compute, torch.zeros(4, 1), size=4)
    assert alive
    assert not any(alive)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("std::bad_alloc"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"),
        MemoryError(),
    ],
)
def test_memory_errors_are_known(error: Exception) -> None:
    assert is_out_of_memory(error)


def test_other_errors_are_not_tried_again() -> None:
    assert not is_out_of_memory(RuntimeError("CUDA error: an illegal memory access was encountered"))
    device = Device(0, error=ValueError)
    with pytest.raises(ValueError, match="tried to allocate"):
        in_microbatches(device, torch.zeros(3, 1), size=8)
    assert device.seen == [8]


@pytest.mark.parametrize("room", [2, 4])
def test_reduced_microbatches_of_a_diffusers_vae_have_the_same_bits(
    tiny_autoencoder_kl: Callable[..., Path], room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = {"kind": "autoencoder_kl", "weights": str(tiny_autoencoder_kl())}
    worker = EncodeWorker(EncodeWorkerSpec(model=model, mel={"preset": "audioldm2"}, device="cpu"))
    num_samples = worker.spec.alignment_samples * 16
    generator = torch.Generator().manual_seed(0)
    rows = {
        "waveform": 0.1 * torch.randn(11, 1, num_samples, generator=generator),
        "num_samples": torch.full((11,), num_samples),
        "seed": torch.arange(11),
    }
    expected, encode = worker(rows), worker.vae.encode_with_distribution

    def crowded(mel: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if len(mel) > room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return encode(mel)

    monkeypatch.setattr(worker.vae, "encode_with_distribution", crowded)
    result = worker(rows)
    assert result["microbatch"].tolist() == [room] * 11
    assert expected["microbatch"].tolist() == [8] * 11
    for name in ("latent_mean", "latent_logvar"):
        assert torch.equal(result[name], expected[name])


def test_memory_that_really_runs_out_changes_no_bit() -> None:
    # Large blocks come from and go back to the system, so that the limit binds what is in use and not the peak.
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"}
    done = subprocess.run(
        [sys.executable, str(GREEDY)], capture_output=True, text=True, check=False, env=environment, timeout=300
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["undisturbed"] == [8]
    assert min(report["sizes"]) < 8
    assert report["equal"]
    assert "out of memory even with one row at a time" in report["error"]
