"""The main job on 142 real recordings: 44.1 to 192 kHz, mono and stereo, 43 ms to 15 s. Skipped where they are not."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from jobs.base import Job
from jobs.encode_job import EncodeJob
from jobs.run import run_job
from jobs.summary import Summary
from pipeline.store import LatentStore
from tests.jobs.stores import run_in_a_loop

SOUNDS = Path(__file__).parents[2] / "shared" / "data" / "sounds"

pytestmark = [
    pytest.mark.usefixtures("local_ray"),
    pytest.mark.skipif(not SOUNDS.is_dir(), reason="the recorded sounds are not on this machine"),
]


def encode(output: Path, run: Callable[[Job], Summary], **placement: int) -> LatentStore:
    run(
        EncodeJob.model_validate(
            {
                "source": {"path": SOUNDS / "captions.csv"},
                "output": output,
                "segment": {"length_seconds": 2.048},
                "model": {"kind": "audio_vae", "weights": "random", "base_channels": 16},
                "placement": placement,
            }
        )
    )
    return LatentStore(output)


def test_142_recordings_give_one_finite_unit_per_planned_segment(tmp_path: Path) -> None:
    store = encode(tmp_path / "one", run_in_a_loop)
    headers = [soundfile.info(path) for path in SOUNDS.glob("*.flac")]
    segments = sum(math.ceil(math.ceil(info.frames * 16_000 / info.samplerate) / 32_768) for info in headers)
    ids = store.ids.to_pylist()
    assert len({name.partition("#")[0] for name in ids}) == 142
    assert len(ids) == len(set(ids)) == segments
    assert all(np.isfinite(batch["latent_mean"]).all() for batch in store.iter_batches(64))
    assert store.quarantine().num_rows == 0
    other = encode(tmp_path / "two", run_job, actors=2, units_per_block=7, threads_per_actor=1)
    assert other.manifest.content_digest == store.manifest.content_digest
