"""The pipeline against a bare loop that does the same work, and against the script that people write today.

Contestants, on the same files, the same weights and the same precision:

- `pipeline`: `run_job`, Ray and store included. Its steady rate: two jobs, one with an eighth of the units on top of
  which the other has all, and the difference of their units over the difference of their times. Start-up and what is
  decoded ahead during it cancel out.
- `bare loop`: one process, our own decoding and worker: a pool of threads decodes ahead (one per core, unguarded) while
  the model runs with a torch thread per core. Nothing is stored.
- `per-file script`: soundfile, torchaudio's resampler and mel, diffusers one clip at a time in float32, np.save.

Usage: python -m benchmarks.pipeline [--quick]
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
import torchaudio
from diffusers import AutoencoderKL

from benchmarks.recordings import write_recordings
from benchmarks.report import Row, machine, print_table
from jobs.encode_job import EncodeJob
from jobs.prepare import prepare
from jobs.run import run_job
from pipeline.blocks import form_blocks
from pipeline.cluster import Resources
from pipeline.decode import WAVEFORM
from pipeline.model_stage import as_batch
from pipeline.progress import Silent
from pipeline.torch_worker import TorchWorker
from workers.audio.decode_spec import DecodeSpec
from workers.media.decode import Span, decode_units
from workers.media.errors import MediaError

ROUNDS = 3
THREADS = len(os.sched_getaffinity(0))


@dataclass(frozen=True)
class Case:
    """One comparison."""

    name: str
    num_units: int
    seconds: float
    sample_rate: int
    channels: int
    blocks: tuple[int, ...]
    """block_out_channels of the AutoencoderKL, AudioLDM2's but for the width; empty: AudioVAE, random weights."""
    precision: str = "float32"
    microbatch: int = 4
    with_script: bool = False


CASES = (
    Case("model dominates", 2048, 2.56, 16_000, 1, (32, 64, 128)),
    Case("decoding dominates", 2048, 10.24, 96_000, 2, ()),
    Case("AudioLDM2's VAE", 64, 5.12, 44_100, 2, (128, 256, 512), microbatch=2, with_script=True),
    Case("AudioLDM2's VAE, bfloat16", 64, 5.12, 44_100, 2, (128, 256, 512), "bfloat16", microbatch=2, with_script=True),
    Case("a small VAE", 512, 5.12, 44_100, 2, (32, 64, 128), microbatch=2, with_script=True),
)


def save_autoencoder(folder: Path, blocks: tuple[int, ...]) -> Path:
    """A random AutoencoderKL in AudioLDM2's shape, as `save_pretrained` writes it."""
    torch.manual_seed(0)
    vae = AutoencoderKL(
        in_channels=1,
        out_channels=1,
        down_block_types=("DownEncoderBlock2D",) * len(blocks),
        up_block_types=("UpDecoderBlock2D",) * len(blocks),
        block_out_channels=blocks,
        layers_per_block=2,
        latent_channels=8,
    )
    vae.save_pretrained(folder)
    return folder


def job_of(case: Case, source: Path, output: Path, vae: Path | None) -> EncodeJob:
    """The job that all contestants do."""
    model = {"kind": "autoencoder_kl", "weights": str(vae)} if vae else {"kind": "audio_vae", "weights": "random"}
    return EncodeJob.model_validate(
        {
            "source": {"path": str(source)},
            "output": str(output),
            "segment": {"length_seconds": case.seconds},
            "mel": {"preset": "audioldm2" if vae else "audiovae"},
            "model": model,
            "precision": case.precision,
            "microbatch": case.microbatch,
        }
    )


def run_pipeline(small: EncodeJob, large: EncodeJob) -> float:
    """Units per second of the pipeline beyond its start-up."""
    first, second = run_job(small), run_job(large)
    return (second.num_new - first.num_new) / (second.seconds - first.seconds)


def run_bare_loop(job: EncodeJob) -> float:
    """Units per second of a plain loop in this process."""
    prepared = prepare(job, Resources(cpus=THREADS, gpus=0), Silent())
    worker = TorchWorker(prepared.work.load_worker, prepared.work.worker, THREADS)
    blocks = form_blocks(prepared.plan.table(), 4 * job.microbatch)

    def decode(block: Any) -> Any:
        return decode_in_this_process(block, prepared.work.decode)

    def compute(decoded: Any) -> int:
        samples, channels = decoded["_bucket_samples"][0].as_py(), decoded["_bucket_channels"][0].as_py()
        worker(as_batch(decoded, channels, samples))
        return len(decoded[WAVEFORM])

    with ThreadPoolExecutor(THREADS) as pool:
        compute(decode(blocks[0]))
        started = time.perf_counter()
        done = sum(compute(decoded) for decoded in ahead(pool, decode, blocks, 2 * THREADS))
        return done / (time.perf_counter() - started)


def decode_in_this_process(block: pa.Table, spec: DecodeSpec) -> pa.Table:
    """`decode_block` as a plain loop would have it: with nothing between the decoder and this process."""
    shape = (block.num_rows, block["_bucket_channels"][0].as_py(), block["_bucket_samples"][0].as_py())
    waveforms = np.zeros(shape, np.float32)
    columns = (block[name].to_pylist() for name in ("_path", "_member", "_start_sample", "_num_samples"))
    units = [(path, member, Span(start, length)) for path, member, start, length in zip(*columns, strict=True)]
    for row, decoded in enumerate(decode_units(units, spec=spec)):
        if isinstance(decoded, MediaError):
            raise decoded
        waveforms[row, :, : decoded.shape[1]] = decoded
    data = [None, pa.py_buffer(waveforms)]
    column = pa.FixedSizeBinaryArray.from_buffers(pa.binary(waveforms[0].nbytes), block.num_rows, data)
    return block.append_column(WAVEFORM, column)


def ahead(pool: ThreadPoolExecutor, task: Callable[[Any], Any], items: list[Any], depth: int) -> Iterator[Any]:
    """Results of `task` in order, with at most `depth` of them under way."""
    left = iter(items)
    waiting: list[Future[Any]] = [pool.submit(task, item) for item in islice(left, depth)]
    while waiting:
        yield waiting.pop(0).result()
        waiting += [pool.submit(task, item) for item in islice(left, 1)]


def run_script(job: EncodeJob, output: Path, vae_folder: Path) -> float:
    """Units per second of the per-file script, written as it usually is."""
    import soundfile

    output.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(THREADS)
    vae = AutoencoderKL.from_pretrained(vae_folder).eval()
    mel_transform = torchaudio.transforms.MelSpectrogram(
        16_000, n_fft=1024, hop_length=160, f_max=8000, n_mels=64, power=1, norm="slaney", mel_scale="slaney"
    )
    length = round(job.segment.length_seconds * 16_000)
    files = sorted(Path(str(job.source.path)).iterdir())
    started = time.perf_counter()
    for file in files:
        samples, rate = soundfile.read(file, dtype="float32", always_2d=True)
        waveform = torch.from_numpy(samples.T).mean(0, keepdim=True)
        waveform = torchaudio.functional.resample(waveform, rate, 16_000)
        waveform = torch.nn.functional.pad(waveform, (0, max(0, length - waveform.shape[1])))[:, :length]
        mel = mel_transform(waveform).clamp(min=1e-5).log()[..., : length // 160]
        with torch.no_grad():
            moments = vae.encode(mel.transpose(1, 2)[None]).latent_dist.parameters
        np.save(output / f"{file.stem}.npy", moments[0].half().numpy())
    return len(files) / (time.perf_counter() - started)


def measure(case: Case, folder: Path, scale: float) -> list[Row]:
    """Runs one case's contestants in turn, `ROUNDS` times."""
    count = max(32, int(case.num_units * scale))
    settings = {"seconds": case.seconds, "sample_rate": case.sample_rate, "channels": case.channels}
    few = write_recordings(folder / "few", count // 8, **settings)
    source = write_recordings(folder / "source", count + count // 8, **settings)
    vae = save_autoencoder(folder / "vae", case.blocks) if case.blocks else None
    rates: dict[str, list[float]] = {}
    for index in range(ROUNDS):
        jobs = (job_of(case, files, folder / f"out{index}" / files.name, vae) for files in (few, source))
        rates.setdefault("pipeline", []).append(run_pipeline(*jobs))
        if case.with_script:
            assert vae is not None
            script = run_script(job_of(case, source, folder, vae), folder / f"npy{index}", vae)
            rates.setdefault("per-file script", []).append(script)
        else:
            rates.setdefault("bare loop", []).append(run_bare_loop(job_of(case, source, folder, vae)))
    medians = {name: statistics.median(values) for name, values in rates.items()}
    (peer,) = (name for name in medians if name != "pipeline")
    ratios = [ours / theirs for ours, theirs in zip(rates["pipeline"], rates[peer], strict=True)]
    return [
        Row(case=case.name, what=name, unit="units/s", value=medians[name], values=values)
        for name, values in rates.items()
    ] + [Row(case=case.name, what=f"pipeline / {peer}", unit="×", value=statistics.median(ratios), values=ratios)]


def main() -> None:
    """Measures every case and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="an eighth of the units")
    parser.add_argument("--case", help="run just the cases whose name contains this")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    arguments = parser.parse_args()
    rows: list[Row] = []
    for case in CASES:
        if arguments.case and arguments.case not in case.name:
            continue
        with tempfile.TemporaryDirectory() as folder:
            rows += measure(case, Path(folder), 1 / 8 if arguments.quick else 1)
        print_table(rows[-3:])
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": machine(), "rows": [row.as_json() for row in rows]}, indent=2))


if __name__ == "__main__":
    main()
