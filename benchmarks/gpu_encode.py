"""How near the encode worker comes to the bare model, with decoding beside it: no Ray, one device.

FLAC clips are decoded by a pool of processes into shared memory, and one `EncodeWorker` turns them into latents with
AudioLDM2's VAE (random weights: speed does not depend on their values). The peer is the same VAE alone, on mels that
lie on the device already.

    python -m benchmarks.gpu_encode                   # one GPU, 16 decode processes, bfloat16
    python -m benchmarks.gpu_encode --tiny            # seconds on a CPU: shows that it runs
"""

import argparse
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing.pool import AsyncResult, Pool
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor

from workers.audio.decode_spec import DecodeSpec
from workers.audio.mel import mel_spectrogram
from workers.audio.mel_spec import MelSpec
from workers.device import repeatable_inference
from workers.encode_worker import EncodeWorker
from workers.encode_worker_spec import EncodeWorkerSpec
from workers.media.decode import Span, decode_spans
from workers.models.diffusers_vae_spec import DiffusersVaeSpec
from workers.models.precision import Precision

SAMPLE_RATE = 16_000
NUM_FILES = 64  # distinct clips; read again and again, so the disk is not what is measured


@dataclass(frozen=True, kw_only=True)
class Result:
    """What one run gave."""

    device: str
    precision: str
    clip_seconds: float
    microbatch: int
    decode_processes: int
    num_clips: int
    clips_per_second: float
    audio_hours_per_hour: float
    bare_clips_per_second: float
    share_of_bare_model: float
    decode_clips_per_second: float


def main() -> None:
    """Run, print a table, and write JSON where asked."""
    arguments = _parse()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    precision: Precision = arguments.precision
    spec = EncodeWorkerSpec(
        model=DiffusersVaeSpec(weights="random"),
        mel=MelSpec(preset="audioldm2"),
        precision=precision,
        microbatch=arguments.microbatch,
    )
    num_samples = round(arguments.clip_seconds * SAMPLE_RATE) // spec.alignment_samples * spec.alignment_samples
    block = arguments.microbatch * arguments.microbatches_per_call
    worker = EncodeWorker(spec)

    with (
        tempfile.TemporaryDirectory() as folder,
        _decode_pool(arguments.processes, block, num_samples) as (pool, slots),
    ):
        paths = _write_clips(Path(folder), num_samples)
        _encode_all(worker, pool, slots, paths, num_blocks=1, num_samples=num_samples)  # warm-up: kernels, page cache
        bare_rate = statistics.median(
            _bare_rate(worker, num_samples, arguments.blocks) for _ in range(arguments.rounds)
        )
        decode_rate = _decode_rate(pool, slots, paths, arguments.blocks, num_samples)
        rate = statistics.median(
            _encode_all(worker, pool, slots, paths, num_blocks=arguments.blocks, num_samples=num_samples)
            for _ in range(arguments.rounds)
        )

    result = Result(
        device=torch.cuda.get_device_name() if device == "cuda" else f"CPU, {torch.get_num_threads()} threads",
        precision=precision,
        clip_seconds=num_samples / SAMPLE_RATE,
        microbatch=arguments.microbatch,
        decode_processes=arguments.processes,
        num_clips=block * arguments.blocks,
        clips_per_second=rate,
        audio_hours_per_hour=rate * num_samples / SAMPLE_RATE,
        bare_clips_per_second=bare_rate,
        share_of_bare_model=rate / bare_rate,
        decode_clips_per_second=decode_rate,
    )
    for name, value in asdict(result).items():
        print(f"{name:24} {value:,.3f}" if isinstance(value, float) else f"{name:24} {value}")
    if arguments.json:
        arguments.json.write_text(json.dumps(asdict(result), indent=2) + "\n")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--clip-seconds", type=float, default=10.24)
    parser.add_argument("--microbatch", type=int, default=32, help="clips that the model sees at once")
    parser.add_argument("--microbatches-per-call", type=int, default=8, help="microbatches in one call of the worker")
    parser.add_argument("--blocks", type=int, default=40, help="calls of the worker in a round")
    parser.add_argument("--rounds", type=int, default=3, help="rounds, of which the median counts")
    parser.add_argument("--processes", type=int, default=min(16, os.cpu_count() or 1), help="decode processes")
    parser.add_argument("--precision", choices=["float32", "bfloat16", "float16"], default="bfloat16")
    parser.add_argument("--json", type=Path, help="file to write the result to")
    parser.add_argument("--tiny", action="store_true", help="a run of seconds, for a CPU")
    arguments = parser.parse_args()
    if arguments.tiny:
        arguments.clip_seconds, arguments.microbatch, arguments.microbatches_per_call = 1.28, 2, 2
        arguments.blocks, arguments.rounds = 2, 1
    return arguments


def _write_clips(folder: Path, num_samples: int) -> list[str]:
    """Coloured noise with a moving tone: compresses about as well as recordings do."""
    time_seconds = np.arange(num_samples) / SAMPLE_RATE
    paths = []
    for index in range(NUM_FILES):
        rng = np.random.default_rng(index)
        noise = np.cumsum(rng.standard_normal(num_samples)) * 1e-3
        tone = 0.2 * np.sin(2 * np.pi * (200 + 50 * index + 30 * time_seconds) * time_seconds)
        path = folder / f"{index}.flac"
        soundfile.write(path, np.clip(noise - noise.mean() + tone, -1, 1), SAMPLE_RATE)
        paths.append(str(path))
    return paths


@contextmanager
def _decode_pool(processes: int, block: int, num_samples: int) -> Iterator[tuple[Pool, Tensor]]:
    """Processes that decode into shared slots [slot, row, 1, T]: one block is read, one is filled."""
    slots = torch.zeros(2, block, 1, num_samples).share_memory_()  # type: ignore[no-untyped-call]
    context = multiprocessing.get_context("spawn")
    with context.Pool(processes, initializer=_attach, initargs=(slots,)) as pool:
        yield pool, slots


_slots: Tensor


def _attach(slots: Tensor) -> None:
    global _slots
    _slots = slots
    torch.set_num_threads(1)


def _decode_row(slot: int, row: int, path: str, num_samples: int) -> None:
    (waveform,) = decode_spans(path, [Span(0, num_samples)], DecodeSpec(sample_rate=SAMPLE_RATE))
    if isinstance(waveform, Exception):
        raise waveform
    _slots[slot, row] = torch.from_numpy(waveform)


def _start_block(pool: Pool, slots: Tensor, slot: int, paths: list[str], num_samples: int) -> AsyncResult[list[None]]:
    rows = slots.shape[1]
    jobs = [(slot, row, paths[row % len(paths)], num_samples) for row in range(rows)]
    return pool.starmap_async(_decode_row, jobs, chunksize=4)


def _encode_all(
    worker: EncodeWorker, pool: Pool, slots: Tensor, paths: list[str], *, num_blocks: int, num_samples: int
) -> float:
    """Clips per second from files to latents on the host; block i + 1 is decoded while block i is encoded."""
    rows = slots.shape[1]
    lengths, seeds = torch.full((rows,), num_samples), torch.arange(rows)
    pending = _start_block(pool, slots, 0, paths, num_samples)
    pending.wait()  # steady state: a job's first block is decoded while the model loads
    start = time.perf_counter()
    for index in range(num_blocks):
        pending.get()
        pending = _start_block(pool, slots, (index + 1) % 2, paths, num_samples)
        worker({"waveform": slots[index % 2], "num_samples": lengths, "seed": seeds})
    elapsed = time.perf_counter() - start
    pending.get()
    return rows * num_blocks / elapsed


def _decode_rate(pool: Pool, slots: Tensor, paths: list[str], num_blocks: int, num_samples: int) -> float:
    """Clips per second that the pool decodes when nothing else runs."""
    start = time.perf_counter()
    for index in range(num_blocks):
        _start_block(pool, slots, index % 2, paths, num_samples).get()
    return slots.shape[1] * num_blocks / (time.perf_counter() - start)


def _bare_rate(worker: EncodeWorker, num_samples: int, num_blocks: int) -> float:
    """Clips per second of the model alone, on one microbatch of mels that stays on the device."""
    size = worker.spec.microbatch
    with repeatable_inference():
        waveform = 0.1 * torch.randn(size, 1, num_samples, generator=torch.Generator().manual_seed(0))
        mel = mel_spectrogram(waveform.to(worker.device), worker.spec.mel).flatten(0, 1)
        worker.vae.encode_with_distribution(mel)
        _synchronise(worker.device)
        start = time.perf_counter()
        for _ in range(num_blocks):
            worker.vae.encode_with_distribution(mel)
        _synchronise(worker.device)
        return size * num_blocks / (time.perf_counter() - start)


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    main()
