"""What the readers find in a header."""

from workers.media.audio_info import AudioInfo
from workers.media.open_audio import open_audio


def probe_audio(path: str, member: str | None = None) -> AudioInfo:
    """Read the header of a recording, or of the first audio stream of a video."""
    with open_audio(path, member) as reader:
        return reader.info
