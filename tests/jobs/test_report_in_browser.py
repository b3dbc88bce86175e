"""The report as a person meets it, in Chromium."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.report import write_report
from pipeline.store import LatentStore
from tests.jobs.browser import Browser, open_browser
from tests.jobs.report_page import EVIL, make_stores


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def pages(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:  # noqa: ARG001 (skip first)
    """Pages of a store of sounds and of one of mels, with texts in them that want to be code."""
    folder = tmp_path_factory.mktemp("pages")
    made = {kind: store.with_suffix(".html") for kind, store in make_stores(folder).items()}
    for kind, file in made.items():
        write_report(str(folder / kind), str(file))
    return made


@pytest.mark.parametrize("kind", ["sounds", "mels"])
@pytest.mark.parametrize("width", [1200, 390])
def test_it_loads_without_a_word_and_fits(browser: Browser, pages: dict[str, Path], kind: str, width: int) -> None:
    browser.open(pages[kind], width=width)
    assert browser.run("return innerWidth") == width
    assert browser.run("return document.documentElement.scrollWidth") <= width
    beyond = "return [...document.querySelectorAll('main, header, nav, section, article, figure, audio, img')]"
    assert (
        browser.run(beyond + ".filter(e => e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML)")
        == []
    )
    assert browser.complaints == []
    assert browser.fetched <= {"file", "data"}


@pytest.mark.parametrize("kind", ["sounds", "mels"])
def test_nothing_from_the_metadata_runs(browser: Browser, pages: dict[str, Path], kind: str) -> None:
    browser.open(pages[kind])
    assert browser.run("return document.querySelectorAll('script').length") == 2
    for row in browser.all("tbody tr"):
        row.click()
    shown = browser.run("return [...document.querySelectorAll('tbody td')].map(cell => cell.textContent)")
    assert {*EVIL} <= {*shown}
    assert browser.run("return window.hacked") is None
    assert browser.complaints == []


def test_the_table_sorts(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["sounds"])
    heads = [head.text for head in browser.all("thead button")]
    at = heads.index("griffin_lim_snr_db / dB")
    cells = f"return [...document.querySelectorAll('tbody tr')].map(row => row.children[{at}].textContent)"
    for turn, order in (("descending", True), ("ascending", False)):
        browser.all("thead button")[at].click()
        assert browser.all("thead th")[at].get_attribute("aria-sort") == turn
        values = [float(text.replace("−", "-")) for text in browser.run(cells)]
        assert values == sorted(values, reverse=order)
        assert len({*values}) > 5


def test_the_table_filters(browser: Browser, pages: dict[str, Path]) -> None:
    store = LatentStore(pages["sounds"].with_suffix(""))
    browser.open(pages["sounds"])
    (box,) = browser.all("#filter")
    box.send_keys("clip_003 low")
    ids = browser.run("return [...document.querySelectorAll('tbody th')].map(cell => cell.textContent)")
    assert ids == [name for name in store.ids.to_pylist() if "clip_003" in name]
    box.clear()
    box.send_keys("duration_seconds<1")
    durations = store.select(["duration_seconds"])["duration_seconds"].to_pylist()
    expected = sum(value < 1 for value in durations)
    assert 0 < expected < len(durations)
    assert browser.run("return document.querySelectorAll('tbody tr').length") == expected
    (matches,) = browser.all("#matches")
    assert matches.text == f"{expected} of {len(durations)}"


def test_a_sound_plays_and_stops_the_one_before(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["sounds"])
    first, second = browser.all("audio")[:2]
    length = browser.wait("return document.querySelector('audio').duration")
    assert 0.05 < length <= 1.0
    browser.run("arguments[0].loop = arguments[1].loop = true; arguments[0].play()", first, second)
    browser.wait("const a = document.querySelectorAll('audio')[0]; return a.currentTime > 0.02")
    browser.run("arguments[0].play()", second)
    browser.wait("const a = document.querySelectorAll('audio')[1]; return a.currentTime > 0.02")
    assert browser.run("return arguments[0].paused && !arguments[1].paused", first, second)


def test_a_click_on_the_map_plays_a_unit(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["mels"])
    (point, *_) = browser.all(".map .heard")
    point.click()
    name = point.get_attribute("aria-label")
    assert browser.all("#map-card h3")[0].text == name
    browser.wait("const a = document.querySelector('#map-card audio'); return a.currentTime > 0.02 || a.ended")
    assert browser.run("return document.querySelector('#map-card img').naturalWidth") > 4
    (button, *_) = browser.all(".legend button")
    button.click()
    lit = browser.run("return [...document.querySelectorAll('.map .lit')].every(c => c.classList.contains('k0'))")
    assert lit
    assert browser.run("return document.querySelectorAll('.map .lit').length") == int(button.text.split()[-1])
    assert browser.complaints == []


def test_it_is_dark_where_the_reader_wants_it(browser: Browser, pages: dict[str, Path]) -> None:
    colours = []
    for dark in (False, True):
        browser.open(pages["sounds"], dark=dark)
        colours.append(browser.run("const s = getComputedStyle(document.body); return [s.backgroundColor, s.color]"))
    brightness = [[sum(map(int, text[4:-1].split(","))) for text in pair] for pair in colours]
    (paper, ink), (dark_paper, dark_ink) = brightness
    assert paper > 700 > 150 > ink
    assert dark_paper < 150 < 600 < dark_ink


def test_keys_reach_the_map(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["mels"])
    point = browser.all(".map .heard")[1]
    browser.run("arguments[0].focus()", point)
    browser.driver.switch_to.active_element.send_keys("\ue007")
    assert browser.all("#map-card h3")[0].text == point.get_attribute("aria-label")
