"""Tables of prompts → items: what a row overrides, what costs a row, and what costs the table."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.generate_job import PromptSettings
from pipeline.plan import PlanSettings, build_plan
from pipeline.prompts_spec import PromptsSpec
from pipeline.segment_spec import SegmentSpec
from pipeline.source.errors import SourceError
from pipeline.source.prompts import list_prompts
from workers.audio.decode_spec import DecodeSpec

DEFAULTS = PromptSettings(top_k=9, negative_prompt="hum", duration_seconds=2.0)


def listed(path: Path, text: str = "", **settings: object) -> list[dict[str, object]]:
    if text:
        path.write_text(text, encoding="utf-8")
    spec = PromptsSpec(path=path, **settings)  # type: ignore[arg-type]
    rows: list[dict[str, object]] = list_prompts(spec, DEFAULTS).items.to_pylist()
    return sorted(rows, key=lambda row: str(row["prompt"]))


def test_rows_override_the_jobs_settings(tmp_path: Path) -> None:
    text = "prompt,top_k,negative_prompt,seed,duration_seconds,variations,loud\na,,,,,,1\nb,3,wind,7,0.5,4,2\n"
    first, second = listed(tmp_path / "p.csv", text)
    assert first["_duration_seconds"] == 2.0
    assert (first["top_k"], first["negative_prompt"], first["prompt_seed"], first["_variations"]) == (9, "hum", None, 1)
    assert (second["top_k"], second["negative_prompt"], second["prompt_seed"]) == (3, "wind", 7)
    assert (second["_duration_seconds"], second["_variations"], second["loud"]) == (0.5, 4, 2)
    assert first["temperature"] == DEFAULTS.temperature
    assert first["_error"] is second["_error"] is None


@pytest.mark.parametrize("extension", ["tsv", "jsonl", "parquet", "txt"])
def test_every_kind_of_table(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"prompts.{extension}"
    match extension:
        case "tsv":
            path.write_text("prompt\n007\nrain, heavy\n")
        case "jsonl":
            path.write_text('{"prompt": "007"}\n{"prompt": "rain, heavy"}\n')
        case "parquet":
            pq.write_table(pa.table({"prompt": ["007", "rain, heavy"]}), path)
        case "txt":
            path.write_text("007\r\n\n  \nrain, heavy")
    assert [row["prompt"] for row in listed(path)] == ["007", "rain, heavy"]


def test_names_follow_the_row_alone(tmp_path: Path) -> None:
    """Rows can be moved and others added; the same prompt once more is another clip."""
    before = listed(
        tmp_path / "a.csv", "prompt,top_k\nA dog, barking,\nrain,5\n".replace("A dog, barking", '"A dog, barking"')
    )
    after = listed(tmp_path / "b.csv", 'prompt,top_k,note\nrain,5,x\nnew,,y\n"A dog, barking",,z\nrain,5,again\n')
    names = {row["_item"] for row in after}
    assert {row["_item"] for row in before} < names
    assert str(before[0]["_item"]).startswith("a-dog-barking-")
    rain = [str(row["_item"]) for row in after if row["prompt"] == "rain"]
    assert rain[1] == f"{rain[0]}-2"
    other = listed(tmp_path / "c.csv", "prompt,top_k\nrain,6\n")
    assert other[0]["_item"] not in names


def test_a_neighbour_that_is_no_number_renames_nobody(tmp_path: Path) -> None:
    """One text in a column of numbers makes the whole column texts."""
    before = listed(tmp_path / "a.csv", "prompt,top_k,temperature\nrain,5,0.50\n")
    after = listed(tmp_path / "b.csv", "prompt,top_k,temperature\nrain,5,0.50\nwind,many,hot\n")
    assert after[0] == before[0] | {"_path": after[0]["_path"]}
    assert after[1]["_error"] is not None


def test_seeds_are_what_the_file_says(tmp_path: Path) -> None:
    """All 64 bits of them; where a reader has rounded one, the row says so instead of taking another seed."""
    text = f"prompt,seed\na,{2**64 - 1}\nb,{10**19 + 1}\nc,7.0\nd,NaN\ne,\n"
    assert [row["prompt_seed"] for row in listed(tmp_path / "p.csv", text)] == [2**64 - 1, 10**19 + 1, 7, None, None]
    (rounded,) = listed(tmp_path / "p.jsonl", f'{{"prompt": "a", "seed": {10**19 + 1}}}\n')
    assert rounded["_error"] == "seed is 1e+19 as a floating-point number, which may be rounded: write it as a text"
    (exact,) = listed(tmp_path / "q.jsonl", f'{{"prompt": "a", "seed": "{10**19 + 1}"}}\n')
    assert (exact["prompt_seed"], exact["_error"]) == (10**19 + 1, None)


@pytest.mark.parametrize(
    ("prompts", "said"),
    [
        (pa.array([["a"], ["b"]]), "'prompt' is list<element: string>; prompts are texts"),
        (pa.array([b"a", b"b"]), "'prompt' is binary; prompts are texts"),
        (
            pa.StringArray.from_buffers(1, pa.py_buffer(b"\0\0\0\0\1\0\0\0"), pa.py_buffer(b"\xff")),
            "a text is not valid UTF-8",
        ),
    ],
)
def test_prompts_that_are_no_texts_cost_the_table(tmp_path: Path, prompts: pa.Array, said: str) -> None:
    pq.write_table(pa.table({"prompt": prompts}), tmp_path / "p.parquet")
    with pytest.raises(SourceError, match=said):
        listed(tmp_path / "p.parquet")


def test_prompts_of_any_script_have_names(tmp_path: Path) -> None:
    rows = listed(tmp_path / "p.txt", "雨が屋根に降る\nسيارة\nÜber die Brücke\n🐕\n" + "long " * 2000)
    assert len({row["_item"] for row in rows}) == 5
    assert all(str(row["_item"]).isascii() and len(str(row["_item"])) <= 53 for row in rows)
    assert any(str(row["_item"]).startswith("uber-die-brucke-") for row in rows)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (",,", "the prompt is empty"),
        ("a,1e-300,", "temperature is 1e-300: Input should be greater than or equal to 0.000001"),
        ("a,,1e-9", "duration_seconds is 1e-09: Input should be greater than or equal to 0.001"),
        ("   ,,", "the prompt is empty"),
        ("a,-1,", "temperature is -1: Input should be greater than or equal to 0.000001"),
        ("a,,1e9", "duration_seconds is 1000000000: Input should be less than or equal to 600"),
        ("a,warm,", "temperature is 'warm': Input should be a valid number"),
    ],
)
def test_what_is_wrong_with_a_row_costs_that_row(tmp_path: Path, row: str, said: str) -> None:
    text = f"prompt,temperature,duration_seconds\n{row}\nfine,1.5,3\n"
    rows = {str(one["prompt"]): one for one in listed(tmp_path / "p.csv", text)}
    assert rows["fine"]["_error"] is None
    (bad,) = (one for prompt, one in rows.items() if prompt != "fine")
    assert said in str(bad["_error"])


@pytest.mark.parametrize(
    ("name", "text", "settings", "said"),
    [
        ("p.csv", "text\na\n", {}, "no column 'prompt'; it has text"),
        ("p.csv", "prompt\n", {}, "has no rows, so there is no prompt"),
        ("p.csv", "prompt,id\na,1\nb,1\n", {"id_column": "id"}, "is '1' in data rows 1 and 2"),
        ("p.csv", "prompt,id\na,1\nb,\n", {"id_column": "id"}, "column 'id' is empty in data row 2"),
        ("p.csv", "prompt,sample_id\na,1\n", {}, "column 'sample_id' has a name that the store uses"),
        ("p.wav", "prompt\na\n", {}, "is no table of prompts; give one of"),
        ("none.csv", "", {}, "cannot read the prompts"),
        ("p.csv", "prompt,top_k,top_k\na,1,2\n", {}, "column 'top_k' stands there more than once"),
    ],
)
def test_what_costs_the_table(tmp_path: Path, name: str, text: str, settings: dict[str, str], said: str) -> None:
    with pytest.raises(SourceError, match=said):
        listed(tmp_path / name, text, **settings)


def test_variations_are_units_of_full_length(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("prompt,variations,duration_seconds\na,3,1.01\nb,,0.5\n")
    items = list_prompts(PromptsSpec(path=tmp_path / "p.csv"), DEFAULTS).items
    settings = PlanSettings(
        segment=SegmentSpec(length_seconds=600, tail="keep", bucket_seconds=0.02),
        decode=DecodeSpec(sample_rate=16_000),
        alignment_samples=320,
        min_samples=320,
        seed=0,
    )
    units = build_plan(items, None, settings).table().to_pylist()
    of_a = [unit for unit in units if unit["prompt"] == "a"]
    assert [unit["sample_id"] for unit in of_a] == [f"{of_a[0]['source']}#{number}" for number in range(3)]
    assert {(unit["start_seconds"], unit["_num_samples"], unit["_bucket_samples"]) for unit in of_a} == {
        (0.0, 16_160, 16_320)
    }
    assert len({unit["seed"] for unit in units}) == 4
    assert [unit["_bucket_samples"] for unit in units if unit["prompt"] == "b"] == [8_000]
