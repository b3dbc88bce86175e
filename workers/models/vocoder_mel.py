"""Whether a front end makes the mels that a vocoder was trained on."""

from collections.abc import Mapping

from workers.audio.mel_spec import MelSpec


def check_same_mel(mel: MelSpec, own: Mapping[str, float | None], *, vocoder: str) -> None:
    """Refuse a front end whose mels a vocoder does not take.

    Args:
        mel: The front end.
        own: The vocoder's value of some of its fields; None where the vocoder does not say.
        vocoder: Where it is, for the message.

    Raises:
        ValueError: One differs; the message gives both values of each.
    """
    wrong = [
        f"mel.{field} is {given:g} and the vocoder's {value:g}"
        for field, value in own.items()
        if value is not None and (given := getattr(mel, field)) != value
    ]
    if wrong:
        raise ValueError(
            f"vocoder {vocoder} does not fit the mel: {', '.join(wrong)}; set mel to the vocoder's values, or take "
            "another vocoder"
        )
