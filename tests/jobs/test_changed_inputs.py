"""A source that changes between runs: `plan` says what would be made anew and why, and `run` makes just that."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from jobs.inspect_store import describe_status, store_status
from jobs.outlook import Outlook, describe_outlook, look_ahead
from jobs.spec_error import SpecError
from jobs.summary import Summary
from jobs.verify import verify_store
from pipeline.store import LatentStore
from tests.jobs.stores import make_mels, mel_job, run_in_a_loop


@pytest.fixture
def source(make_clips: Callable[..., Path]) -> Path:
    """Eight recordings; `captions.csv` beside them is left out of account."""
    return make_clips(8)


def look(source: Path, store: Path, **changes: Any) -> Outlook:
    return look_ahead(mel_job(source, store, **changes))


def kinds(outlook: Outlook) -> dict[str, int]:
    return {kind.name: kind.count for kind in outlook.changes}


def parts(store: Path) -> dict[str, tuple[int, set[str]]]:
    """Part files with the time at which each was written and the units in it."""
    return {
        path.name: (path.stat().st_mtime_ns, set(pq.read_table(path, columns=["sample_id"])["sample_id"].to_pylist()))
        for path in (store / "data").glob("*.parquet")
    }


def units_of(store: Path, *sources: str) -> set[str]:
    return {name for name in LatentStore(store).ids.to_pylist() if name.partition("#")[0] in sources}


def write_tone(path: Path, seconds: float, hertz: float = 440.0) -> None:
    soundfile.write(path, np.sin(2 * np.pi * hertz * np.arange(int(16_000 * seconds)) / 16_000) / 2, 16_000)


def fresh(source: Path, store: Path) -> str | None:
    return make_mels(source, store).manifest.content_digest


def test_all_at_once(source: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    make_mels(source, store)
    before, rows = parts(store), {row["sample_id"]: row["row_digest"] for row in _digests(store)}

    write_tone(source / "new.wav", 2.0)  # 1 + ceil((2 − 1) / 0.75) = 3 units
    changed = source / "low/clip_001.flac"
    soundfile.write(changed, np.flip(soundfile.read(changed)[0], 0), soundfile.info(changed).samplerate)  # same length
    os.utime(source / "high/clip_002.wav", ns=(1, 1))
    (source / "low/clip_003.ogg").unlink()
    (source / "high/clip_004.wav").rename(source / "high/renamed.wav")
    gone = units_of(store, "low/clip_003.ogg", "high/clip_004.wav")
    anew = units_of(store, "low/clip_001.flac")
    renamed = units_of(store, "high/clip_004.wav")

    outlook = look(source, store)
    assert kinds(outlook) == {
        "new": 3 + len(renamed),
        "changed": len(anew),
        "gone": len(gone),
        "touched": 1,
    }
    assert outlook.num_pending == 3 + len(renamed) + len(anew)
    text = describe_outlook(outlook)
    assert "the recording is another one: to be made anew" in text
    assert "low/clip_001.flac#0" in text
    assert "`run --prune` takes them out" in text
    assert "files with another time and the same content: kept" in text
    assert parts(store) == before, "plan changes nothing"

    with pytest.raises(SpecError, match=r"gone from the source, such as .*--prune"):
        make_mels(source, store)
    assert parts(store) == before, "neither does a run that is refused"

    summary = make_mels(source, store, prune=True)
    assert summary.num_new == outlook.num_pending
    after = parts(store)
    for name, (written, units) in before.items():
        if not units & (gone | anew):
            assert after[name] == (written, units), "a part without such units is not written anew"
    kept = {row["sample_id"]: row["row_digest"] for row in _digests(store)}
    assert {name: kept[name] for name in rows if name not in gone | anew} == {
        name: digest for name, digest in rows.items() if name not in gone | anew
    }
    assert all(kept[name] != rows[name] for name in anew)
    assert summary.manifest.content_digest == fresh(source, tmp_path / "fresh")
    assert verify_store(str(store)).sound
    again = look(source, store)
    assert (kinds(again), again.num_pending) == ({}, 0)


def test_a_file_that_was_touched_is_not_made_again(source: Path, tmp_path: Path) -> None:
    make_mels(source, tmp_path / "store")
    before = parts(tmp_path / "store")
    for path in source.rglob("clip_*"):
        os.utime(path)
    outlook = look(source, tmp_path / "store")
    assert kinds(outlook) == {"touched": 8}
    assert outlook.num_pending == 0
    assert make_mels(source, tmp_path / "store").num_new == 0
    assert parts(tmp_path / "store") == before


def test_a_file_that_was_copied_over_itself_is_not_made_again(source: Path, tmp_path: Path) -> None:
    make_mels(source, tmp_path / "store")
    shutil.copytree(source, tmp_path / "elsewhere")
    assert make_mels(tmp_path / "elsewhere", tmp_path / "store").num_new == 0


def test_a_recording_that_grew(source: Path, tmp_path: Path) -> None:
    write_tone(source / "tone.wav", 1.0)
    make_mels(source, tmp_path / "store")
    write_tone(source / "tone.wav", 1.75)
    outlook = look(source, tmp_path / "store")
    assert kinds(outlook) == {"new": 1, "changed": 1}
    assert make_mels(source, tmp_path / "store").num_new == 2


def test_a_caption_that_was_edited(source: Path, tmp_path: Path) -> None:
    manifest = source / "captions.csv"
    make_mels(manifest, tmp_path / "store")
    manifest.write_text(manifest.read_text().replace("a chord, number 2", "a better caption"))
    units = units_of(tmp_path / "store", "high/clip_002.wav")
    outlook = look(manifest, tmp_path / "store")
    assert kinds(outlook) == {"edited": len(units)}
    assert "the manifest says something else of them" in describe_outlook(outlook)
    assert make_mels(manifest, tmp_path / "store").num_new == len(units)


def test_a_file_that_broke(source: Path, tmp_path: Path) -> None:
    manifest = source / "captions.csv"
    make_mels(manifest, tmp_path / "store")
    lost = units_of(tmp_path / "store", "high/clip_000.wav")
    (source / "high/clip_000.wav").unlink()
    outlook = look(manifest, tmp_path / "store")
    assert kinds(outlook)["unreadable"] == len(lost)
    assert "bring the files back, or run with --prune" in describe_outlook(outlook)


def test_a_recording_that_was_mended(source: Path, tmp_path: Path) -> None:
    (source / "late.wav").write_text("not yet a recording")
    assert make_mels(source, tmp_path / "store").manifest.totals.num_quarantined == 1
    write_tone(source / "late.wav", 1.0)
    summary = make_mels(source, tmp_path / "store")
    assert (summary.num_new, summary.manifest.totals.num_quarantined) == (1, 0)
    assert summary.manifest.content_digest == fresh(source, tmp_path / "fresh")


def test_files_that_went_away_cost_results_only_when_asked(source: Path, tmp_path: Path) -> None:
    manifest, store = source / "captions.csv", tmp_path / "store"
    whole = make_mels(manifest, store).manifest.content_digest
    before = len(LatentStore(store))
    (source / "low/clip_001.flac").rename(tmp_path / "elsewhere.flac")
    with pytest.raises(SpecError, match=r"'low/clip_001.flac#0'; bring the files back, or run with --prune"):
        make_mels(manifest, store)
    assert len(LatentStore(store)) == before
    assert make_mels(manifest, store, prune=True).manifest.totals.num_quarantined == 1
    assert len(LatentStore(store)) < before
    (tmp_path / "elsewhere.flac").rename(source / "low/clip_001.flac")
    assert make_mels(manifest, store).manifest.content_digest == whole


def test_another_spec_is_refused_field_by_field_and_the_dry_run_says_so(source: Path, tmp_path: Path) -> None:
    make_mels(source, tmp_path / "store")
    before = parts(tmp_path / "store")
    with pytest.raises(SpecError, match=r"(?s)made by another spec.*seed: 0 → 1.*mel.n_mels: 64 → 80"):
        make_mels(source, tmp_path / "store", seed=1, mel={"preset": "audioldm2", "n_mels": 80})
    warning = describe_outlook(look(source, tmp_path / "store", seed=1))
    assert "  seed: 0 → 1" in warning
    assert parts(tmp_path / "store") == before


def _digests(store: Path) -> list[dict[str, Any]]:
    return pq.read_table(list((store / "data").glob("*.parquet")), columns=["sample_id", "row_digest"]).to_pylist()


def test_a_disk_that_is_not_mounted_costs_nothing(source: Path, tmp_path: Path) -> None:
    manifest, store = source / "captions.csv", tmp_path / "store"
    header, *rows = manifest.read_text().splitlines()
    lines = [f"{row},{soundfile.info(source / row.partition(',')[0]).duration}" for row in rows]
    manifest.write_text("\n".join([f"{header},seconds", *lines]) + "\n")

    def make(output: Path) -> Summary:
        job = mel_job(manifest, output)
        listed = job.source.model_copy(update={"duration_column": "seconds"})
        return run_in_a_loop(job.model_copy(update={"source": listed}))

    whole = make(tmp_path / "whole").manifest
    for folder in ("high", "low"):
        (source / folder).rename(tmp_path / folder)
    assert make(store).manifest.totals.num_units == 0
    (tmp_path / "high").rename(source / "high")
    back = make(store).manifest
    assert 0 < back.totals.num_units < whole.totals.num_units
    assert make(store).num_new == 0, "what is still away is not looked for in vain"
    (tmp_path / "low").rename(source / "low")
    assert make(store).manifest.content_digest == whole.content_digest


def test_a_plan_that_is_lost_cannot_tell_changes_and_a_run_says_so(source: Path, tmp_path: Path) -> None:
    make_mels(source, tmp_path / "store")
    changed = source / "high/clip_000.wav"
    soundfile.write(changed, np.flip(soundfile.read(changed)[0], 0), soundfile.info(changed).samplerate)
    shutil.rmtree(tmp_path / "store/plan")
    told = [make_mels(source, tmp_path / "store").notes for _ in range(2)]
    assert ["cannot be told" in " ".join(notes) for notes in told] == [True, False]


def test_a_run_that_is_stopped_while_it_takes_units_out_leaves_no_store_that_says_it_is_complete(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "store"
    make_mels(source, store)
    (source / "high/clip_000.wav").unlink()

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("jobs.begin.save_plan", stop)
        with pytest.raises(KeyboardInterrupt):
            make_mels(source, store, prune=True)
    assert LatentStore(store).manifest.state == "interrupted"
    assert describe_status(store_status(str(store))).startswith(f"{store}: mel, interrupted")
    assert make_mels(source, store, prune=True).manifest.content_digest == fresh(source, tmp_path / "fresh")
