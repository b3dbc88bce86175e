"""What comes before Ray: listing, probing and decoding of a source on S3, and what a spec may not say."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobs.load import load_job
from jobs.mel_job import MelJob
from jobs.prepare import prepare
from jobs.spec_error import SpecError
from pipeline.cluster import find_resources
from pipeline.progress import Silent
from pipeline.source_spec import SourceSpec
from workers.media.media_file import MediaFile


def test_a_plan_of_a_source_on_s3_is_that_of_the_folder(bucket: Any, clips: Path, tmp_path: Path) -> None:
    source = bucket.upload(clips, "sounds")
    here, there = (
        prepare(MelJob(source=SourceSpec(path=path), output=output), find_resources(), Silent())
        for path, output in (
            (str(clips / "captions.csv"), str(tmp_path / "out")),
            (f"{source}/captions.csv", f"{bucket.uri}/out"),
        )
    )
    assert there.identity == here.identity
    assert there.probes.drop(["modified_ns"]).equals(here.probes.drop(["modified_ns"]))
    assert there.probes["error"].null_count == there.probes.num_rows
    assert there.num_items == here.num_items == 12


def test_fingerprints_take_few_requests(bucket: Any) -> None:
    small, large = bucket.write("small", b"x" * 900_000), bucket.write("large", b"y" * 9_000_000)
    for path, requests, most_bytes in ((small, 2, 900_000), (large, 17, 16 * 4096)):
        bucket.proxy.requests.clear()
        bucket.proxy.sent_bytes = 0
        with MediaFile(path) as media:
            media.fingerprint()
        assert len(bucket.proxy.requests) <= requests
        assert bucket.proxy.sent_bytes <= most_bytes


def test_a_spec_on_s3(bucket: Any) -> None:
    spec = bucket.write("specs/job.yaml", b"kind: mel\nsource: {path: s3://b/sounds}\noutput: s3://b/out\n")
    loaded = load_job(spec, ["seed=3"])
    assert (loaded.output, loaded.seed) == ("s3://b/out", 3)
    with pytest.raises(SpecError, match=r"s3://.*/nothing\.yaml: "):
        load_job(spec.replace("job", "nothing"))


SECRET = "hunter2hunter2"


@pytest.mark.parametrize(
    ("text", "override", "where"),
    [
        (f"output: s3://AKIA:{SECRET}@b/out", "seed=3", r"job\.yaml:3: output: s3://…@b: holds a user name or key"),
        ("output: out", f"output=s3://AKIA:{SECRET}@b/out", r"--set output=s3://…@b/out: output: s3://…@b"),
        ("output: out", f"source.path=https://h/a.wav?sig={SECRET}", r"--set source.path=https://h/a\.wav\?…"),
        (f"output: out\nmodel: {{weights: 's3://AKIA:{SECRET}@b/w'}}", "seed=3", r"job\.yaml:4: model\.weights: s3"),
        ("output: out", f"source.path=[a.wav, 's3://AKIA:{SECRET}@b/w']", r"source\.path\[1\]: s3://…@b"),
    ],
)
def test_secrets_in_a_spec_are_refused_and_not_repeated(text: str, override: str, where: str, tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(f"kind: encode\nsource: {{path: sounds}}\n{text}\n")
    with pytest.raises(SpecError, match=where) as caught:
        load_job(tmp_path / "job.yaml", [override])
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("output", ["https://host/out", "hf://datasets/someone/out"])
def test_an_output_that_can_only_be_read_is_refused(output: str) -> None:
    with pytest.raises(ValueError, match=r"output: .* can only be read; give a folder, or a URI of an object store"):
        MelJob(source=SourceSpec(path="sounds"), output=output).resolved(0)


def test_secrets_in_a_manifest_are_refused_and_not_repeated(
    bucket: Any, tmp_path: Path, secrets_in: Callable[[str], list[str]]
) -> None:
    key, secret = os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"].replace("/", "")
    (tmp_path / "m.csv").write_text(f"path\ns3://{key}:{secret}@bucket/a.wav\n")
    with pytest.raises(ValueError, match="holds a user name or key") as caught:
        prepare(
            MelJob(source=SourceSpec(path=str(tmp_path / "m.csv")), output=f"{bucket.uri}/o"),
            find_resources(),
            Silent(),
        )
    assert not secrets_in(str(caught.value))
    assert secret not in str(caught.value)
