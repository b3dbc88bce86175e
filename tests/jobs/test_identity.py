"""What makes two jobs the same."""

from typing import Any

import pytest

from jobs.encode_job import EncodeJob
from jobs.identity import differences, identity
from jobs.mel_job import MelJob

FACTS = {"weights": "0123"}
SPEC: dict[str, Any] = {
    "source": {"path": "/data/sounds"},
    "output": "/stores/latents",
    "device": "cpu",
    "precision": "float32",
    "model": {"kind": "audio_vae", "weights": "random", "base_channels": 8},
}


def test_new_settings_of_sources_leave_older_stores_their_identity() -> None:
    added = ("duration_column", "audio_column", "member_extension")
    job = EncodeJob.model_validate(SPEC)
    before = job.model_copy(update={"source": job.source.model_construct(path="/data/sounds", path_column="path")})
    for name in added:
        object.__delattr__(before.source, name)
        assert identity_of(source={"path": "/data/sounds", name: "x"}) != identity_of()
    assert not set(added) & before.content()["source"].keys()
    assert identity(before, FACTS) == identity_of()


def identity_of(facts: dict[str, str] | None = None, **changes: Any) -> str:
    return identity(EncodeJob.model_validate({**SPEC, **changes}), FACTS if facts is None else facts)


@pytest.mark.parametrize(
    "changes",
    [
        {"output": "/elsewhere"},
        {"placement": {"actors": 3, "units_per_block": 5}},
        {"limits": {"max_failed": 3}},
        {"source": {"path": "/moved/sounds"}},
        {"mel": {"n_fft": 2048, "hop_length": 512}},
    ],
)
def test_what_does_not_decide_content_is_left_out(changes: dict[str, Any]) -> None:
    assert identity_of(**changes) == identity_of()


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"segment": {"length_seconds": 5}},
        {"audio": {"resample_quality": "VHQ"}},
        {"mel": {"preset": "audioldm2"}},
        {"model": {**SPEC["model"], "base_channels": 16}},
        {"latent": "mean"},
        {"precision": "bfloat16"},
        {"device": "cuda"},
        {"microbatch": 4},
        {"dtype": "float32"},
        {"source": {"path": "/data/sounds", "columns": ["caption"]}},
        {"facts": {"weights": "4567"}},
    ],
)
def test_what_decides_content_is_in_it(changes: dict[str, Any]) -> None:
    assert identity_of(**changes) != identity_of()


def test_where_weights_lie_does_not_matter_but_their_bytes_do() -> None:
    first, second = ({"kind": "autoencoder_kl", "weights": folder} for folder in ("/a", "/b"))
    assert identity_of(model=first) == identity_of(model=second)
    assert identity_of(model=first, facts={"weights": "x"}) != identity_of(model=second, facts={"weights": "y"})


def test_kinds_differ() -> None:
    mel = MelJob.model_validate({key: SPEC[key] for key in ("source", "output", "device")})
    assert identity(mel, {}) != identity_of(facts={})


def test_it_is_pinned() -> None:
    """Changing how identities are computed makes every store of an older version foreign: do it on purpose only."""
    job = MelJob.model_validate({"source": {"path": "x"}, "output": "y", "device": "cpu"})
    assert identity(job, {}) == "a394fa134bae1c47daf096777194c5b1a5f773acb65e6ab0e60d9e4ae049aadb"


def test_nothing_is_left_to_the_machine_once_resolved() -> None:
    job, notes = EncodeJob.model_validate({**SPEC, "device": "auto", "precision": "auto"}).resolved(num_gpus=0)
    assert (job.device, job.precision) in (("cpu", "float32"), ("cpu", "bfloat16"))
    assert "precision" in notes[0]
    with_gpu, _ = EncodeJob.model_validate({**SPEC, "device": "auto", "precision": "auto"}).resolved(num_gpus=1)
    assert (with_gpu.device, with_gpu.precision) == ("cuda", "bfloat16")
    with pytest.raises(ValueError, match="device: cuda is asked for, and torch finds no GPU here"):
        EncodeJob.model_validate({**SPEC, "device": "cuda"}).resolved(num_gpus=0)
    with pytest.raises(ValueError, match="https:// can only be read; give a folder, or a URI of an object store"):
        EncodeJob.model_validate({**SPEC, "output": "https://example.org/store"}).resolved(num_gpus=0)


def test_differences_are_told_field_by_field() -> None:
    before = {"seed": 0, "mel": {"n_fft": 1024, "hop": 1}, "gone": 1}
    after = {"seed": 0, "mel": {"n_fft": 2048, "hop": 1}, "new": [1]}
    assert differences(before, after) == [("mel.n_fft", 1024, 2048), ("gone", 1, None), ("new", None, [1])]
