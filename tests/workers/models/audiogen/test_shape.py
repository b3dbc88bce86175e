"""Parts of a model that do not fit each other are refused."""

import pytest
from pydantic import ValidationError

from workers.models.audiogen.shape import AudioGenShape, complaints
from workers.models.audiogen.sizes import shape_of


def changed(**changes: object) -> AudioGenShape:
    return AudioGenShape.model_validate(shape_of("debug").model_dump() | changes)


def test_a_shape_survives_its_dump() -> None:
    assert changed() == shape_of("debug")


def test_stereo_of_a_mono_codec() -> None:
    assert shape_of("musicgen-stereo-small").stereo_from_mono
    assert not shape_of("musicgen-small").stereo_from_mono
    stereo = shape_of("debug").codec.model_copy(update={"channels": 2})
    assert not changed(channels=2, codec=stereo).stereo_from_mono


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"channels": 2, "lm": {"delays": (0, 0, 1)}}, r"3 codebooks for 2 channel\(s\), and the codec 4 for 1"),
        ({"lm": {"delays": (0, 1, 2, 3, 4)}}, r"5 codebooks for 1 channel\(s\), and the codec 4 for 1"),
        ({"lm": {"card": 32}}, "has 32 codes in a codebook and the codec 64"),
        ({"sample_rate": 24_000}, "one of 24000 Hz and the codec of 16000 Hz"),
        ({"frame_rate_hz": 49}, "16000 Hz and 320 samples per frame do not make 49 frames per second"),
        ({"extend_stride_seconds": 10}, r"extend_stride_seconds \(10.0\) must be less than segment_seconds \(10.0\)"),
    ],
)
def test_parts_that_do_not_fit(changes: dict[str, object], said: str) -> None:
    if isinstance(lm := changes.get("lm"), dict):
        changes = changes | {"lm": shape_of("debug").lm.model_dump() | lm}
    with pytest.raises(ValidationError, match=said):
        changed(**changes)


def test_complaints_are_one_line() -> None:
    with pytest.raises(ValidationError) as error:
        changed(top_p=2, temperature=0)
    assert complaints(error.value) == (
        "top_p: Input should be less than or equal to 1; temperature: Input should be greater than 0"
    )
