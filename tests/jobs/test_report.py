"""A store on one page: what it says, that it repeats, that nothing in it is taken for code, and where it may lie."""

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from jobs.export import export_store
from jobs.report import describe_report, write_report
from jobs.spec_error import SpecError
from pipeline.store import LatentStore
from pipeline.store.manifest import Manifest, save_manifest
from pipeline.store.schema import content_schema, store_schema
from pipeline.store.writer import PartWriter
from tests.conftest import write_clips
from tests.jobs.command import COMMAND, latentmill
from tests.jobs.report_page import EVIL, Page, columns_of, make_stores, page_of
from tests.jobs.stores import make_mels
from workers.number_column import NumberColumn


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return make_stores(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def sounds(stores: dict[str, Path]) -> Path:
    return stores["sounds"]


@pytest.fixture(scope="module")
def mels(stores: dict[str, Path]) -> Path:
    return stores["mels"]


def test_a_store_of_sounds(sounds: Path, tmp_path: Path) -> None:
    page = page_of(sounds, tmp_path / "page.html", num_shown=2)
    opened = LatentStore(sounds)
    assert str(opened.manifest.content_digest) in page.text
    assert f"All {len(opened)} units." in page.text
    assert page.count("audio") == 2 * 6  # original and one method of two best, worst and others
    pictures = [facts["src"] for tag, facts in page.tags if tag == "img"]
    assert len(pictures) == 3 * 6  # two mels and what differs
    assert page.count("svg") == 5  # snr, correlation, seconds and two peaks
    values = opened.select(["sample_id", "griffin_lim_snr_db"]).sort_by([("griffin_lim_snr_db", "descending")])
    shown = [facts["id"] for tag, facts in page.tags if tag == "article"]
    assert len(shown) == 6
    assert page.data["table"]["shown"][values["sample_id"][0].as_py()] == 0
    assert page.data["table"]["shown"][values["sample_id"][-1].as_py()] == 2
    assert "not a media file" in page.text
    assert "broken.wav#0" in page.text


def test_the_players_hold_what_the_store_holds(sounds: Path, tmp_path: Path) -> None:
    page = page_of(sounds, tmp_path / "page.html", num_shown=1)
    export_store(str(sounds), str(tmp_path / "files"))
    stored = {hashlib.sha256(file.read_bytes()).hexdigest() for file in (tmp_path / "files").rglob("*.flac")}
    uris = [facts["src"] or "" for tag, facts in page.tags if tag == "audio"]
    assert len(uris) == 6
    for uri in uris:
        kind, _, data = uri.partition(",")
        assert kind == "data:audio/flac;base64"
        assert hashlib.sha256(base64.b64decode(data)).hexdigest() in stored


def test_a_store_of_mels_has_a_map(mels: Path, tmp_path: Path) -> None:
    page = page_of(mels, tmp_path / "page.html")
    count = len(LatentStore(mels))
    circles = [facts for tag, facts in page.tags if tag == "circle" and "data-i" in facts]
    assert len(circles) == count
    described = page.data["map"]
    assert len(described["ids"]) == len(described["facts"]) == count
    assert all(sound["uri"].startswith("data:audio/flac;base64,") for sound in described["sounds"].values())
    assert all(sound["picture"].startswith("data:image/png;base64,") for sound in described["sounds"].values())
    assert f"The {min(count, 24)} units with a ring can be heard" in page.text
    assert "Mean and standard deviation of each channel" in page.text
    legend = re.findall(r"(\S+) (\d+)\n", page.text.split("ring can be heard")[1].split("Channels")[0])
    assert {name for name, _ in legend} == {"high", "low"}
    assert sum(int(number) for _, number in legend) == count


def test_the_same_store_gives_the_same_bytes(sounds: Path, mels: Path, tmp_path: Path) -> None:
    for store in (sounds, mels):
        copy = tmp_path / store.name  # somewhere else, and written by another process with another hash seed
        shutil.copytree(store, copy)
        write_report(str(store), str(tmp_path / "first.html"))
        command = [*COMMAND, "report", str(copy), "--to", str(tmp_path / "second.html")]
        subprocess.run(command, check=True, env={**os.environ, "PYTHONHASHSEED": "1"}, capture_output=True)
        assert (tmp_path / "first.html").read_bytes() == (tmp_path / "second.html").read_bytes()


@pytest.mark.parametrize("kind", ["sounds", "mels"])
def test_texts_stay_texts(kind: str, stores: dict[str, Path], tmp_path: Path) -> None:
    page = page_of(stores[kind], tmp_path / "page.html", num_shown=20)
    source = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.count("script") == 2  # the data, and our own
    assert source.count("<!--") == 0
    assert "\u2028" not in page.scripts[0]
    assert "<" not in page.scripts[0]
    if kind == "sounds":
        assert all(caption in page.text for caption in EVIL)
    handlers = [(tag, name) for tag, facts in page.tags for name in facts if name.startswith("on")]
    assert not handlers
    captions = {row[columns_of(page).index("caption")] for row in page.data["table"]["rows"]}
    assert captions == set(EVIL)
    outside = [value for _, facts in page.tags for name, value in facts.items() if name in ("src", "href", "action")]
    assert all(value and value.startswith(("data:", "#")) for value in outside)
    assert "http://" not in source.replace("http://www.w3.org/2000/svg", "")


def test_only_our_script_may_run(sounds: Path, tmp_path: Path) -> None:
    page = page_of(sounds, tmp_path / "page.html")
    (policy,) = [f["content"] or "" for tag, f in page.tags if f.get("http-equiv") == "Content-Security-Policy"]
    digest = base64.b64encode(hashlib.sha256(page.scripts[1].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none';")


def test_rows_are_bounded_and_hold_what_is_shown(sounds: Path, tmp_path: Path) -> None:
    page = page_of(sounds, tmp_path / "page.html", num_rows=8, num_shown=2)
    ids = [row[0] for row in page.data["table"]["rows"]]
    assert len(ids) == 8
    assert {*page.data["table"]["shown"]} <= {*ids}
    assert f"A sample of 8 of {len(LatentStore(sounds))} units" in page.text


def test_recordings_that_are_gone_are_said_to_be(tmp_path: Path) -> None:
    make_mels(write_clips(tmp_path / "source", 3), tmp_path / "mels")
    shutil.rmtree(tmp_path / "source")
    page = page_of(tmp_path / "mels", tmp_path / "page.html")
    assert "None of the recordings is where it was" in page.text
    notes = {sound["note"] for sound in page.data["map"]["sounds"].values()}
    assert all(note.startswith("The recording cannot be read now: ") for note in notes)


def test_a_store_that_is_not_complete_says_so(mels: Path, tmp_path: Path) -> None:
    store = tmp_path / "mels"
    shutil.copytree(mels, store)
    planned = len(LatentStore(store))
    next((store / "data").glob("*.parquet")).unlink()
    left = len(LatentStore(store))
    page = page_of(store, tmp_path / "page.html")
    assert f"not complete; {planned - left} of {planned + 1} units are still to be made" in page.text
    shutil.rmtree(store / "plan")
    (store / "job.yaml").unlink()
    page = page_of(store, tmp_path / "page.html")
    assert "its plan is missing" in page.text
    assert "The store does not say where its recordings were" in page.text


def test_neither_ray_nor_a_model_is_needed(sounds: Path, mels: Path, tmp_path: Path) -> None:
    script = (
        "import sys\nsys.modules['ray'] = None\n"
        "from jobs.report import write_report\n"
        f"for store in {[str(sounds), str(mels)]!r}: write_report(store, {str(tmp_path / 'page.html')!r})\n"
        "assert not {'diffusers', 'transformers'} & set(sys.modules)\n"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


@pytest.fixture
def evaluated(tmp_path: Path) -> Callable[..., Path]:
    """Writes a store of metrics with their statuses, and neither plan nor sounds."""

    def make(count: int) -> Path:
        names = ("lsd", "pesq_wb")
        outputs = [NumberColumn(name=name, description=f"what {name} is") for name in names]
        statuses = pa.schema([pa.field(f"{name}_status", pa.string()) for name in names])
        schema = store_schema(outputs, statuses, variable_length=False)
        values = np.random.default_rng(0).normal(3, 1, (2, count)).tolist()
        values[1] = [None if n % 3 == 0 else value for n, value in enumerate(values[1])]
        rows = {
            "sample_id": [f"u{n:06d}" for n in range(count)],
            "source": ["x.wav"] * count,
            "start_seconds": [0.0] * count,
            "duration_seconds": [1.0] * count,
            "seed": list(range(count)),
            "microbatch": [1] * count,
            "lsd": values[0],
            "lsd_status": ["ok"] * count,
            "pesq_wb": values[1],
            "pesq_wb_status": ["ok" if value is not None else "no_utterance" for value in values[1]],
        }
        store = tmp_path / "evaluated"
        if count:
            table = pa.table(rows, schema=content_schema(schema))
            PartWriter(str(store), schema, durable=False).commit(table)
        made = Manifest.start(kind="evaluate", identity="0" * 64, schema=schema, environment={"python": "<3"})
        moment = datetime(2026, 1, 2, tzinfo=UTC)
        store.mkdir(exist_ok=True)
        save_manifest(str(store), made.model_copy(update={"created": moment, "updated": moment}))
        return store

    return make


def test_a_store_of_metrics(evaluated: Callable[..., Path], tmp_path: Path) -> None:
    store = evaluated(300)
    done = write_report(str(store), str(tmp_path / "page.html"))
    page = Page((tmp_path / "page.html").read_text())
    assert "no_utterance 100" in page.text
    assert "ok 200" not in page.text
    assert "a value for 66.7 % of the units" in page.text
    assert "None can be heard: the store holds no sounds" in page.text
    assert page.count("audio") == 0
    assert "running; its plan is missing" in page.text
    assert done.contents.ranking is not None
    assert (done.contents.ranking.column, done.contents.ranking.lower_is_better) == ("pesq_wb", False)
    assert "best is the highest pesq_wb" in describe_report(done)
    turned = write_report(str(store), str(tmp_path / "page.html"), by="lsd")
    lowest = LatentStore(store).select(["sample_id", "lsd"]).sort_by("lsd")["sample_id"][:3].to_pylist()
    assert turned.as_json()["shown"]["best"] == lowest
    flipped = write_report(str(store), str(tmp_path / "page.html"), by="lsd", best="highest")
    assert flipped.as_json()["shown"]["worst"] == lowest
    numbers = done.as_json()["numbers"]
    assert numbers["pesq_wb"]["statuses"] == {"ok": 200, "no_utterance": 100}


def test_an_empty_store_has_a_page(evaluated: Callable[..., Path], tmp_path: Path) -> None:
    assert "The store holds no units yet." in page_of(evaluated(0), tmp_path / "page.html").text


def test_the_command(sounds: Path, tmp_path: Path) -> None:
    result = latentmill("report", sounds, "--json", "--units", "1", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    said = json.loads(result.stdout)
    assert said["file"] == str(tmp_path / "sounds-report.html")
    assert said["num_bytes"] == (tmp_path / "sounds-report.html").stat().st_size
    assert said["ranked_by"] == "griffin_lim_snr_db"
    assert [len(ids) for ids in said["shown"].values()] == [1, 1, 1]
    wrong = latentmill("report", sounds, "--to", sounds / "data/page.html")
    assert wrong.returncode == 2
    assert "which is for the store's own files; put it elsewhere" in wrong.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--to", "STORE/data/page.html"], r"lies in .*data, which is for the store's own files"),
        (["--to", "STORE/plan/../quarantine/page.html"], r"lies in .*quarantine"),
        (["--to", "LINK/page.html"], r"lies in .*data"),
        (["--to", "page.txt"], r"expected a file that ends in \.html"),
        (["--to", "https://host/page.html"], "can only be read"),
        (["--to", "folder.html"], "is a folder"),
        (["--by", "griffinlim_snr_db"], "did you mean griffin_lim_snr_db"),
        (["--best", "higher"], "must be one of highest, lowest"),
        (["--colour-by", "categry"], "did you mean category"),
    ],
)
def test_what_is_refused(
    arguments: list[str], message: str, sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder.html").mkdir()
    (tmp_path / "link").symlink_to(sounds / "data")
    before = sorted(path.name for path in sounds.rglob("*"))
    given = [word.replace("STORE", str(sounds)).replace("LINK", str(tmp_path / "link")) for word in arguments]
    monkeypatch.chdir(tmp_path)
    names = {"--to": "to", "--by": "by", "--best": "best", "--colour-by": "colour_by"}
    with pytest.raises(SpecError, match=message):
        write_report(str(sounds), **{names[given[0]]: given[1]})
    assert sorted(path.name for path in sounds.rglob("*")) == before
    assert not list(tmp_path.glob("*-report.html"))


def test_stores_without_numbers_cannot_be_ranked(mels: Path, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="holds no numbers that its job made"):
        write_report(str(mels), str(tmp_path / "page.html"), by="x")
    with pytest.raises(SpecError, match="not a store"):
        write_report(str(tmp_path / "nowhere"), str(tmp_path / "page.html"))
