"""Pages for tests: what they are made of, and stores whose texts want to be code."""

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from jobs.load import load_job
from jobs.report import write_report
from tests.conftest import write_clips
from tests.jobs.stores import mel_job, run_in_a_loop

EVIL = (
    "<script>window.hacked = 1</script>",
    "</script><script>window.hacked = 2</script>",
    "<!-- <script>",
    "one\u2028two\u2029three",
    "<img src=x onerror='window.hacked = 3'>",
    "\"' onmouseover=window.hacked=4 x='",
    "{{ 7 * 7 }} ]]> &lt;b&gt;",
)


class Page(HTMLParser):
    """What a page is made of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = ""
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self._in = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._in = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002
        self._in = ""

    def handle_data(self, data: str) -> None:
        if self._in == "script":
            self.scripts[-1] += data
        elif self._in != "style":
            self.text += data

    def count(self, tag: str) -> int:
        """How many there are."""
        return sum(name == tag for name, _ in self.tags)

    @property
    def data(self) -> Any:
        """What the script reads."""
        return json.loads(self.scripts[0])


def write_evil_clips(folder: Path) -> Path:
    """Clips with texts in their metadata, and in a name, that a careless page would run."""
    write_clips(folder, 8)
    (folder / "high/clip_000.wav").rename(folder / "high/<b onclick=x>&'clip.wav")
    lines = [{"path": "high/<b onclick=x>&'clip.wav", "caption": EVIL[0], "category": "high"}]
    names = sorted(path for path in folder.rglob("clip_*") if path.is_file())
    for number, path in enumerate(names):
        caption = EVIL[number % len(EVIL)]
        lines.append({"path": str(path.relative_to(folder)), "caption": caption, "category": path.parent.name})
    (folder / "broken.wav").write_text("no recording")
    lines.append({"path": "broken.wav", "caption": EVIL[1], "category": "<i>"})
    manifest = folder / "captions.jsonl"
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return manifest


def make_stores(folder: Path) -> dict[str, Path]:
    """A store of `sounds` and numbers, and one of `mels`, both of such clips."""
    source = write_evil_clips(folder / "source")
    settings = {
        "source.path": source,
        "output": folder / "sounds",
        "model": "null",
        "methods": "[griffin_lim]",
        "griffin_lim.num_iterations": 0,
        "segment.length_seconds": 1.0,
        "limits.max_failed_fraction": 1,
    }
    run_in_a_loop(load_job("reconstruct_audioldm2", [f"{name}={value}" for name, value in settings.items()]))
    run_in_a_loop(mel_job(source, folder / "mels"))
    return {kind: folder / kind for kind in ("sounds", "mels")}


def page_of(store: Path, file: Path, **options: Any) -> Page:
    write_report(str(store), str(file), **options)
    return Page(file.read_text(encoding="utf-8"))


def columns_of(page: Page) -> list[str]:
    return [column["name"] for column in page.data["table"]["columns"]]
