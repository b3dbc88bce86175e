"""Codecs give the codes that transformers gives, whatever a row's company."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.workers.models.codec_folders import HOPS, NUM_CODEBOOKS, save_codec
from workers.codec_worker import CodecWorker
from workers.codec_worker_spec import CodecWorkerSpec
from workers.models.weights import weights_digest

KINDS = sorted(HOPS)


def batch_of(count: int, *, channels: int = 1, samples: int = 1_600) -> dict[str, torch.Tensor]:
    noise = torch.randn(count, channels, samples, generator=torch.Generator().manual_seed(3))
    waveform = 0.3 * noise.cumsum(dim=2).mul(0.2).sin()
    return {
        "waveform": waveform,
        "num_samples": torch.full((count,), samples),
        "seed": torch.arange(count, dtype=torch.int64),
    }


def worker_of(folder: Path, kind: str, **settings: Any) -> CodecWorker:
    model = {"kind": kind, "weights": str(folder), **settings.pop("model", {})}
    return CodecWorker(CodecWorkerSpec(**{"model": model, "microbatch": 4, "device": "cpu", **settings}))


@pytest.mark.parametrize("kind", KINDS)
def test_equals_transformers(tmp_path: Path, kind: str) -> None:
    reference = save_codec(tmp_path, kind)
    batch = batch_of(5)
    worker = worker_of(tmp_path, kind)
    codes = worker(batch)["codes"]
    with torch.inference_mode():
        expected = reference.encode(batch["waveform"], **({"bandwidth": 9.6} if kind == "encodec" else {})).audio_codes
    expected = expected[0] if kind == "encodec" else expected
    (column,) = worker.spec.outputs(1_600, 1)
    assert codes.shape[1:] == column.shape == (NUM_CODEBOOKS, 1_600 // HOPS[kind])
    assert torch.equal(codes, expected)
    assert all(codes[:, codebook].unique().numel() > 3 for codebook in range(NUM_CODEBOOKS))
    assert column.dtype == "uint16"


@pytest.mark.parametrize("kind", KINDS)
def test_fewer_codebooks_are_the_first(tmp_path: Path, kind: str) -> None:
    save_codec(tmp_path, kind)
    batch = batch_of(2)
    every = worker_of(tmp_path, kind)(batch)["codes"]
    few = worker_of(tmp_path, kind, model={"num_codebooks": 2})(batch)["codes"]
    assert torch.equal(few, every[:, :2])


@pytest.mark.parametrize("kind", KINDS)
def test_alone_as_in_a_batch_and_each_channel_by_itself(tmp_path: Path, kind: str) -> None:
    save_codec(tmp_path, kind)
    batch = batch_of(6, channels=2)
    worker = worker_of(tmp_path, kind, channels=2)
    together = worker(batch)["codes"]
    assert together.shape == (6, 2, NUM_CODEBOOKS, 1_600 // HOPS[kind])
    alone = worker({name: tensor[5:] for name, tensor in batch.items()})["codes"]
    assert torch.equal(alone[0], together[5])
    mono = worker_of(tmp_path, kind)({**batch, "waveform": batch["waveform"][:, 1:]})["codes"]
    assert torch.equal(mono, together[:, 1])


def test_the_digest_is_that_of_the_weights(tmp_path: Path) -> None:
    digests = []
    for number, seed in enumerate((0, 0, 1)):
        folder = tmp_path / str(number)
        save_codec(folder, "dac", seed=seed)
        digests.append(weights_digest(CodecWorkerSpec(model={"kind": "dac", "weights": str(folder)}).model))
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize(
    ("kind", "config", "model", "message"),
    [
        ("encodec", {"normalize": True}, {}, "encodes in chunks of a level of their own"),
        ("encodec", {"chunk_length_s": 1.0, "overlap": 0.01}, {}, "encodes in chunks of a level of their own"),
        ("encodec", {"audio_channels": 2}, {}, "takes 2 channels at once: choose a mono codec"),
        ("dac", {}, {"num_codebooks": 5}, "num_codebooks is 5, but .* has 4"),
        ("dac", {}, {"kind": "mimi"}, "holds a model of type dac, expected mimi"),
        ("dac", {}, {"weights": "random"}, "codes mean nothing"),
    ],
)
def test_what_cannot_be_done_is_refused(
    tmp_path: Path, kind: str, config: dict[str, Any], model: dict[str, Any], message: str
) -> None:
    save_codec(tmp_path, kind, **config)
    with pytest.raises(ValueError, match=message):
        worker_of(tmp_path, kind, model=model)


def test_lengths_without_whole_frames_are_refused(tmp_path: Path) -> None:
    save_codec(tmp_path, "dac")
    with pytest.raises(ValueError, match="multiples of 8 samples, got 1601"):
        worker_of(tmp_path, "dac")(batch_of(2, samples=1_601))
