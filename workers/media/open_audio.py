"""Pick the library that reads a file."""

import contextlib
from types import TracebackType
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from workers.media.audio_info import AudioInfo
from workers.media.errors import MediaError
from workers.media.libav_reader import LibavReader
from workers.media.media_file import MediaFile
from workers.media.sndfile_reader import SndfileReader, UnsupportedBySndfile

_MIN_RATE, _MAX_RATE = 1_000, 768_000
"""Hz."""

_MAX_CHANNELS = 64

_MAX_SAMPLES_PER_BYTE = 8192
"""The densest thing there is, FLAC's longest block of silence, holds 65,535 samples in some 12 bytes."""


class AudioReader(Protocol):
    """An open recording. What `read` gives at a position never depends on what was read before."""

    info: AudioInfo

    @property
    def channel_names(self) -> tuple[str, ...] | None:
        """FFmpeg's names (`FL`, `FR`, `FC`, `LFE`…) in channel order, or None where the file does not say."""

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        """Decode native samples `start` to `stop` (half-open), float32 [num, channels], full scale 1.0.

        Fewer come back where the file ends early. Reads at ascending starts are the fast order.

        Raises:
            MediaError: the file is damaged there; close the reader and open another for what else is wanted.
            workers.files.StorageUnavailableError: its store stopped answering.
        """

    def close(self) -> None:
        """Release the file."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def open_audio(path: str, member: str | None = None) -> AudioReader:
    """Open a recording with libsndfile, or with FFmpeg's libraries where libsndfile does not read it; contents decide.

    Args:
        path: a local path or a URI.
        member: which bytes of it (see `media_file`); None if it is all of it.

    Raises:
        MediaError: the file is missing, empty, not media, or has no audio in it.
        workers.files.StorageUnavailableError: its store does not answer.
    """
    media = MediaFile(path, member)
    try:
        return open_media(media)
    except BaseException:
        media.close()
        raise


def open_media(media: MediaFile) -> AudioReader:
    """`open_audio` of what was found already; closing the reader closes `media`."""
    reader: AudioReader | None = None
    with contextlib.suppress(UnsupportedBySndfile):
        reader = SndfileReader(media)
    if reader is None:
        media.check()
        reader = LibavReader(media)
    try:
        _check_info(reader.info, media.size)
    except MediaError:
        reader.close()
        raise
    return reader


def _check_info(info: AudioInfo, num_bytes: int) -> None:
    """Refuse headers that no recording has; a plan made from one would hold millions of units."""
    if info.num_frames < 1:
        raise MediaError(f"no sound in it: the header gives a length of 0 samples ({info.codec})")
    if not (_MIN_RATE <= info.sample_rate <= _MAX_RATE and info.channels <= _MAX_CHANNELS):
        raise MediaError(f"the header gives {info.sample_rate} Hz and {info.channels} channels ({info.codec})")
    if info.num_frames > _MAX_SAMPLES_PER_BYTE * num_bytes:
        raise MediaError(
            f"the header gives {info.duration_seconds / 3600:.1f} hours, impossible in {num_bytes} bytes ({info.codec})"
        )
