"""Recordings that libsndfile reads: WAV, FLAC, Ogg, MP3, AIFF and their kin."""

from functools import cached_property
from types import TracebackType
from typing import Self

import numpy as np
import soundfile
from numpy.typing import NDArray

from workers.media.audio_info import AudioInfo
from workers.media.errors import MediaError
from workers.media.libav_container import read_channel_names
from workers.media.media_file import MediaFile

_LOSSY_FORMATS = frozenset({"OGG", "MP3"})

_LOSSY_PREROLL_FRAMES = 8192
"""Decoded and dropped before a lossy read. libsndfile seeks to the sample, but the decoders need what lies before it:
the longest Vorbis block is 8192, Opus settles in 80 ms, MP3's bit reservoir reaches back a few frames of 1152."""

_UNKNOWN_LENGTH = 1 << 48
"""libsndfile reports 2**63 - 1 frames for a FLAC stream whose header gives no length."""


class UnsupportedBySndfile(Exception):
    """Leave the file to FFmpeg's libraries: libsndfile does not know it, or not well enough."""


class SndfileReader:
    """An open file; see `AudioReader`."""

    def __init__(self, media: MediaFile) -> None:
        """Open the file and read its header; `close` releases `media` as well.

        Raises:
            UnsupportedBySndfile: `media` is still open, for another library to read.
        """
        try:
            self._file = soundfile.SoundFile(media.source())
        except (soundfile.LibsndfileError, TypeError) as error:  # TypeError: a name that ends in .raw
            raise UnsupportedBySndfile(str(error)) from error
        file = self._file
        self._media = media
        self.info = AudioInfo(
            sample_rate=file.samplerate,
            channels=file.channels,
            num_frames=file.frames,
            codec=f"{file.format}/{file.subtype}",
            exact=True,
        )
        self._preroll = _LOSSY_PREROLL_FRAMES if file.format in _LOSSY_FORMATS else 0
        if (
            file.frames > _UNKNOWN_LENGTH
            or not file.seekable()
            or (file.format == "OGG" and file.channels > 2)  # FFmpeg knows the channel order there
            or (file.format == "MP3" and not _mp3_has_frame_count(media))
        ):
            file.close()
            raise UnsupportedBySndfile(self.info.codec)

    @cached_property
    def channel_names(self) -> tuple[str, ...] | None:
        """See `AudioReader`; libsndfile's binding does not tell, so FFmpeg looks at the header."""
        return read_channel_names(self._media) if self.info.channels > 2 else None

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        """See `AudioReader`."""
        start, stop = min(start, self.info.num_frames), min(stop, self.info.num_frames)
        preroll = min(start, self._preroll)
        buffer = np.empty((stop - start + preroll, self.info.channels), np.float32)
        try:
            if start - preroll != self._file.tell():
                self._file.seek(start - preroll)
            samples: NDArray[np.float32] = self._file.read(out=buffer)
        except soundfile.LibsndfileError as error:
            self._media.check()
            reason = error.error_string.removeprefix("Error : ").rstrip(" .")
            raise MediaError(
                f"truncated or corrupt: expected {self.info.num_frames} samples at {self.info.sample_rate} Hz, "
                f"the decoder got stuck between {start - preroll} and {stop} ({reason})"
            ) from error
        self._media.check()
        return samples[preroll:]

    def close(self) -> None:
        """See `AudioReader`."""
        self._file.close()
        self._media.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _mp3_has_frame_count(media: MediaFile) -> bool:
    """Whether the first MP3 frame is a Xing, Info or VBRI header; without one, libsndfile guesses the length badly."""
    head = media.read_at(0, 10)
    start = 0
    if head[:3] == b"ID3":  # tag size: four bytes of seven bits, header not counted
        start = 10 + sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
    first_frame = media.read_at(start, 4096)
    return any(tag in first_frame for tag in (b"Xing", b"Info", b"VBRI"))
