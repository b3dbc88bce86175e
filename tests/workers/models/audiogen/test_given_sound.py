"""What is kept of a sound, and how it is joined to what is made."""

import pytest
import torch

from workers.models.audiogen.given_sound import FADE_SECONDS, kept_frames, rejoined
from workers.models.audiogen.spans import parse_spans

RATE, HOP = 16_000, 320
GRID = {"hop_length": HOP, "sample_rate": RATE}


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ("", ()),
        ("1.5-2.75", ((1.5, 2.75),)),
        (" 0 - .5 ; 3-4. , 4-5", ((0.0, 0.5), (3.0, 4.0), (4.0, 5.0))),
    ],
)
def test_spans_as_people_write_them(text: str, spans: tuple[tuple[float, float], ...]) -> None:
    assert parse_spans(text) == spans


@pytest.mark.parametrize("text", ["1", "1-", "2-1", "1-1", "a-b", "-1-2", "1-2,", "1-2 3-4", "1e3-2e3", "1–2"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no stretch of time|ends before it begins"):
        parse_spans(text)


def test_frames_that_are_made_in_part_are_made_as_a_whole() -> None:
    kept = kept_frames(50, 30 * HOP - 1, parse_spans("0.101-0.119"), **GRID)
    assert kept.nonzero().flatten().tolist() == [0, 1, 2, 3, 4, *range(6, 29)]
    assert not kept_frames(10, 10 * HOP, parse_spans("0-1"), **GRID).any()
    assert kept_frames(10, 10 * HOP, (), **GRID).all()


def test_what_is_kept_is_kept_to_the_sample_but_for_the_seams() -> None:
    generator = torch.Generator().manual_seed(0)
    made, given = torch.randn(2, 50 * HOP, generator=generator), torch.randn(2, 30 * HOP, generator=generator)
    kept = kept_frames(50, 30 * HOP, parse_spans("0.2-0.3"), **GRID)
    joined = rejoined(made, given, kept, **GRID)
    fade = round(FADE_SECONDS * RATE)
    for begin, end in ((0, 10 * HOP - fade), (15 * HOP + fade, 30 * HOP - fade)):
        assert torch.equal(joined[:, begin:end], given[:, begin:end])
    for begin, end in ((10 * HOP, 15 * HOP), (30 * HOP, 50 * HOP)):
        assert torch.equal(joined[:, begin:end], made[:, begin:end])
    share = rejoined(torch.zeros_like(made), torch.ones_like(given), kept, **GRID)
    seam = share[:, 10 * HOP - fade : 10 * HOP]
    assert ((seam > 0) & (seam <= 1)).all()
    assert (seam.diff(dim=1) < 0).all()  # from the one to the other without a jump
    assert seam.diff(dim=1).abs().max() < 2 / fade


def test_nothing_is_changed_where_nothing_is_made_or_kept() -> None:
    made, given = torch.randn(1, 10 * HOP), torch.randn(1, 10 * HOP)
    assert torch.equal(rejoined(made, given, torch.ones(10, dtype=torch.bool), **GRID), given)
    assert torch.equal(rejoined(made, given, torch.zeros(10, dtype=torch.bool), **GRID), made)
