"""One HTML file that carries all it shows: no network, no other files, and no text that a browser could take for code.

Texts from metadata are escaped wherever they stand: jinja2 does it in HTML, `tojson` in the data that the script reads
(`<`, `>`, `&` and all beyond ASCII as `\\u…`), and the script puts them into the page as text. A content security
policy allows this page's own script and nothing else.
"""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.report.channels import ChannelDrawing
from pipeline.report.colouring import Colouring
from pipeline.report.latent_map import LatentMap
from pipeline.report.numbers import NumberGroup, format_number
from pipeline.report.pictures import DIFFERENCE_DB, RANGE_DB
from pipeline.report.rows import UnitRows
from pipeline.report.selection import Ranking
from pipeline.report.shown_units import ShownUnit
from pipeline.report.sounds import PLAYED_SECONDS

if TYPE_CHECKING:
    import jinja2

_HERE = Path(__file__).parent
_MAP_WIDTH, _MAP_HEIGHT, _MAP_MARGIN = 600, 440, 18


@dataclass(frozen=True, slots=True, kw_only=True)
class MapSound:
    """What a unit of the map sounds and looks like."""

    uri: str
    """Of the recording; empty where it cannot be read."""
    picture: str
    """Of the stored tensor; empty where there is none."""
    note: str
    """Why there is no sound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """All that a page shows."""

    name: str
    kind: str
    state: str
    totals: tuple[tuple[str, str, bool], ...]
    """Label, value, and whether it is bad news."""
    digest: str | None
    environment: tuple[tuple[str, str], ...]
    spec: str
    columns: tuple[tuple[str, str], ...]
    """Name and description of each column of the store."""
    created: str
    updated: str
    seed: int
    groups: tuple[NumberGroup, ...] = ()
    ranking: Ranking | None = None
    shown: tuple[ShownUnit, ...] = ()
    rows: UnitRows
    channels: tuple[ChannelDrawing, ...] = ()
    scale_factor: float | None = None
    map: LatentMap | None = None
    map_names: tuple[str, ...] = ()
    """What is said of each unit of the map."""
    map_facts: tuple[tuple[str | None, ...], ...] = ()
    colouring: Colouring | None = None
    map_sounds: Mapping[int, MapSound] = field(default_factory=dict)
    """By the unit's place in the map."""
    map_note: str = ""
    """Why none of its units can be heard."""
    failures: tuple[Mapping[str, Any], ...] = ()
    """Groups of units that failed, as `latentmill status --json` gives them."""
    num_more_failures: int = 0
    """Groups that are left out."""

    @property
    def num_map_sounds(self) -> int:
        """How many units of the map can be heard."""
        return sum(bool(sound.uri) for sound in self.map_sounds.values())

    @property
    def has_tracks(self) -> bool:
        """Whether there is anything to be heard or seen of the examples."""
        return any(unit.tracks for unit in self.shown)

    @property
    def has_differences(self) -> bool:
        """Whether there is a picture of what differs."""
        return any(track.difference for unit in self.shown for track in unit.tracks)

    @property
    def map_places(self) -> list[tuple[float, float]]:
        """Where the units are on the drawing."""
        if self.map is None:
            return []
        room = (_MAP_WIDTH - 2 * _MAP_MARGIN, _MAP_HEIGHT - 2 * _MAP_MARGIN)
        reach = [max(1e-6, *(2 * abs(place[axis] - 0.5) for place in self.map.places)) for axis in (0, 1)]
        scale = min(room[0], room[0] / reach[0], room[1] / reach[1])
        return [
            (round(_MAP_WIDTH / 2 + (x - 0.5) * scale, 1), round(_MAP_HEIGHT / 2 - (y - 0.5) * scale, 1))
            for x, y in self.map.places
        ]

    @property
    def condition(self) -> str:
        """An example for the filter."""
        numbers = [summary for group in self.groups for summary in group.summaries if summary.quantiles]
        if numbers and numbers[0].quantiles:
            return f"{numbers[0].number.name}>{numbers[0].quantiles[2]:.{min(2, numbers[0].decimals)}f}"
        return "duration_seconds<1"

    @property
    def data(self) -> dict[str, Any]:
        """What the page's script reads."""
        columns = [
            {"name": c.name, "unit": c.unit, "is_number": c.is_number, "decimals": c.decimals}
            for c in self.rows.columns
        ]
        shown = {unit.sample_id: place for place, unit in enumerate(self.shown)}
        values: dict[str, Any] = {"table": {"columns": columns, "rows": self.rows.rows, "shown": shown}}
        if self.map is not None:
            sounds = {
                str(at): {"uri": sound.uri, "picture": sound.picture, "note": sound.note}
                for at, sound in self.map_sounds.items()
            }
            values["map"] = {
                "ids": self.map.ids,
                "names": self.map_names,
                "facts": self.map_facts,
                "sounds": sounds,
            }
        return values


def render(contents: Contents) -> str:
    """The page; the same contents give the same text."""
    from markupsafe import Markup

    script = _read("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        _environment()
        .get_template("template.html")
        .render(
            c=contents,
            css=Markup(_read("page.css")),
            script=Markup(script),
            script_hash=f"sha256-{digest}",
            gradients={name: _gradient(colours) for name, colours in _COLOURS.items()},
            played_seconds=f"{PLAYED_SECONDS:g}",
            range_db=f"{RANGE_DB:g}",
            difference_db=f"{DIFFERENCE_DB:g}",
        )
    )


_COLOURS = {"mel": "magma", "difference": "berlin", "scale": "viridis"}


def _environment() -> "jinja2.Environment":
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    environment.filters["number"] = format_number
    environment.filters["share"] = _share
    return environment


def _read(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8").strip()


def _share(value: float) -> str:
    """`12.3 %`; only what is whole is said to be."""
    return "100 %" if value == 1 else "0 %" if value == 0 else f"{min(max(100 * value, 0.1), 99.9):.1f} %"


def _gradient(colours: str) -> str:
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return "linear-gradient(90deg," + ",".join(to_hex(colormaps[colours](step / 8)) for step in range(9)) + ")"
