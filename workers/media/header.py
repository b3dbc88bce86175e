"""What a job needs to know of each recording before it decodes any: its header, and a fingerprint of its content."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from workers.media.audio_info import AudioInfo
from workers.media.media_file import MediaFile
from workers.media.open_audio import open_media


@dataclass(frozen=True, slots=True)
class Header:
    """One recording."""

    info: AudioInfo
    num_bytes: int
    """Of the recording, not of the archive or table that it may lie in."""
    fingerprint: bytes
    """Of 16 bytes; equal where the content is, as far as a few reads can tell."""


def read_headers(items: Sequence[tuple[str, str | None]]) -> Iterator[Header | Exception]:
    """Looks at recordings one after the other.

    Args:
        items: path and member of each, see `workers.media.media_file`.

    Returns:
        For each the header, or what is wrong with it.
    """
    for path, member in items:
        try:
            media = MediaFile(path, member)
            try:
                with open_media(media) as reader:
                    header = Header(reader.info, media.size, media.fingerprint())
            finally:
                media.close()
            yield header
        except Exception as error:  # noqa: BLE001 (whatever a file does to its reader costs that file alone)
            yield error
