"""What audiocraft's AudioGen and MusicGen generate with, where a file says nothing."""

GUIDANCE = 3.0
TOP_K = 250
TOP_P = 0.0
TEMPERATURE = 1.0

AUDIOGEN_STRIDE_SECONDS = 2.0
MUSICGEN_STRIDE_SECONDS = 18.0

MUSICGEN_SEGMENT_SECONDS = 30.0


def stride_seconds(default: float, segment_seconds: float) -> float:
    """What to drop of a window: the default, or half of a window that is too short for it."""
    return default if default < segment_seconds else segment_seconds / 2
