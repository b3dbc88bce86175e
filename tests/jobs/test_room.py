"""Outputs that are full, read-only, forbidden or taken away: told with place and room, and nothing is damaged."""

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from pipeline.store import LatentStore
from pipeline.store.damaged import damaged_files
from tests.jobs.command import finished, latentmill, parts_of, run_command, started, wait_for_parts

NOBODY = 65534


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a file system of its own in memory; needs the right to do so."""
    mounted: list[Path] = []

    def make(options: str) -> Path:
        folder = tmp_path / "disk"
        folder.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            pytest.skip(f"FULL AND READ-ONLY DISKS ARE NOT TESTED HERE: mounting needs root ({done.stderr.strip()})")
        mounted.append(folder)
        return folder

    yield make
    for folder in mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def remount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Leaves no byte free."""
    filler = folder / "filler"
    with filler.open("ab", buffering=0) as file, suppress(OSError):
        for size in (1 << 16, 1 << 12, 1 << 6, 1):
            with suppress(OSError):
                while True:
                    file.write(bytes(size))
    return filler


@pytest.mark.slow
def test_a_job_that_cannot_fit_is_refused_before_it_starts(
    clips: Path, tmp_path: Path, mount: Callable[[str], Path]
) -> None:
    disk, many = mount("size=300k"), {"segment__hop_seconds": 0.008, "placement__units_per_block": 64}
    refused = finished(run_command(clips, disk / "store", **many))
    assert refused.returncode == 2, refused.stderr
    assert re.search(
        rf"output: {disk}/store has [\d.]+ kB free, but [\d,]+ units with [\d.]+ kB are still to be written;",
        refused.stderr,
    )
    assert not parts_of(disk / "store")
    remount(disk, "size=64m")
    for store in (disk / "store", tmp_path / "elsewhere"):
        done = finished(run_command(clips, store, **many))
        assert done.returncode == 0, done.stderr
    digests = [LatentStore(store).manifest.content_digest for store in (disk / "store", tmp_path / "elsewhere")]
    assert digests[0] == digests[1]


@pytest.mark.slow
def test_a_disk_that_fills_up_on_the_way(clips: Path, mount: Callable[[str], Path], expected: str | None) -> None:
    disk = mount("size=32m")
    store, command = disk / "store", run_command(clips, disk / "store")
    process = started(command)
    wait_for_parts(process, store, 3)
    filler = fill(disk)
    said, _ = process.communicate(timeout=240)
    assert process.returncode == 1, said
    assert f"{store}: cannot be written: " in said
    assert re.search(r"\d+ of \d+ units, [\d.]+ [kM]?B, are still to be written and [\d.]+ k?B are free there", said)
    assert "What is committed is kept" in said
    assert "Traceback" not in said
    assert damaged_files(str(store)) == []
    kept = {part: part.stat().st_mtime_ns for part in parts_of(store)}
    assert len(kept) >= 3
    filler.unlink()
    done = finished(
        command,
    )
    assert done.returncode == 0, done.stderr
    assert LatentStore(store).manifest.content_digest == expected
    assert kept.items() <= {part: part.stat().st_mtime_ns for part in parts_of(store)}.items()


def test_a_disk_that_is_full_already(clips: Path, mount: Callable[[str], Path]) -> None:
    disk = mount("size=1m")
    fill(disk)
    refused = finished(run_command(clips, disk / "store"))
    assert refused.returncode == 2, refused.stderr
    assert f"output: cannot write to {disk / 'store'}" in refused.stderr
    assert "no space left" in refused.stderr.lower()


@pytest.mark.slow
def test_a_read_only_output(clips: Path, mount: Callable[[str], Path]) -> None:
    disk = mount("size=64m")
    remount(disk, "ro")
    refused = finished(run_command(clips, disk / "store"))
    assert refused.returncode == 2
    assert f"output: cannot write to {disk / 'store'}: {disk} is read-only, or no folder" in refused.stderr


@pytest.mark.slow
def test_a_store_on_a_disk_that_became_read_only(
    clips: Path, mount: Callable[[str], Path], expected: str | None
) -> None:
    disk = mount("size=64m")
    store, command = disk / "store", run_command(clips, disk / "store")
    process = started(command)
    wait_for_parts(process, store, 2)
    process.kill()
    process.communicate()
    end = time.monotonic() + 60
    while subprocess.run(["mount", "-o", "remount,ro", str(disk)], capture_output=True, check=False).returncode:
        assert time.monotonic() < end  # its workers still have files open
        time.sleep(0.1)
    refused = finished(command)
    assert refused.returncode == 2
    assert f"output: cannot write to {store}: {store / 'logs'} is read-only, or no folder" in refused.stderr
    assert json.loads(latentmill("status", store, "--json").stdout)["num_pending"] > 0  # reading needs no claim
    remount(disk, "rw")
    assert finished(command).returncode == 0
    assert LatentStore(store).manifest.content_digest == expected


AS_NOBODY = """
import os, sys
import jobs.cli, jobs.run, jobs.summary, jobs.log_place, pipeline.chatter, pipeline.progress, rich.console
jobs.cli.load_job("encode_audio", ["source.path=x", "output=y"])  # what is imported now need not be readable then
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
jobs.cli.main()
""".replace("NOBODY", str(NOBODY))


@pytest.mark.slow
def test_an_output_that_belongs_to_somebody_else(clips: Path, tmp_path: Path) -> None:
    store = tmp_path / "theirs" / "store"
    store.parent.mkdir(mode=0o555)
    _, _, _, *arguments = run_command(clips, store)
    refused = finished([sys.executable, "-c", AS_NOBODY, *arguments])
    assert refused.returncode == 2, refused.stderr
    assert f"output: cannot write to {store}: " in refused.stderr
    assert not store.exists()


@pytest.mark.slow
def test_an_output_that_is_removed_on_the_way(clips: Path, tmp_path: Path, expected: str | None) -> None:
    store, command = tmp_path / "store", run_command(clips, tmp_path / "store")
    process = started(command)
    wait_for_parts(process, store, 2)
    while store.exists():  # its writers may make a folder anew between two steps of this
        shutil.rmtree(store, ignore_errors=True)
    said, _ = process.communicate(timeout=240)
    assert process.returncode == 1, said
    assert str(store) in said
    assert "gone" in said
    assert "removed or moved" in said
    shutil.rmtree(store, ignore_errors=True)
    done = finished(command)
    assert done.returncode == 0, done.stderr
    assert LatentStore(store).manifest.content_digest == expected
