"""Open a file with FFmpeg's libraries and say what its first audio stream is."""

import contextlib
import os
import re
from fractions import Fraction
from typing import Any

import av

from workers.media.audio_info import AudioInfo
from workers.media.errors import MediaError
from workers.media.media_file import MediaFile

_LENGTH_IS_A_GUESS = frozenset({"aac", "ac3", "amr", "dts", "eac3", "flac", "mp3"})
"""Bare streams: FFmpeg divides the file size by the bit rate of the first frames, 4 % off in an ordinary ADTS file."""

_MATROSKA_DURATION = re.compile(r"(\d+):(\d\d):(\d\d\.?\d*)$")
"""The tag that muxers write for each track, such as 00:01:02.345000000."""


def open_container(media: MediaFile) -> Any:
    """Open a recording, an `av.container.InputContainer` that has at least one audio stream.

    A local playlist may name other local files, but nothing on the network; one that came from elsewhere, no files.

    Raises:
        MediaError: FFmpeg does not know the format, or there is no audio in it.
        workers.files.StorageUnavailableError: The file's store stopped answering.
    """
    source = media.source()
    local = isinstance(source, str)
    try:
        container = av.open(
            f"file:{os.path.abspath(source)}" if isinstance(source, str) else source,
            options={"protocol_whitelist": "file" if local else "none"},
            metadata_errors="replace",
        )
    except av.error.FFmpegError as error:
        media.check()
        raise MediaError(f"not a media file that can be read, or its header is cut off ({error.strerror})") from error
    if not container.streams.audio:
        kinds = sorted({stream.type for stream in container.streams}) or ["nothing"]
        container.close()
        raise MediaError(f"no audio stream: the file holds {' and '.join(kinds)}")
    stream = container.streams.audio[0]
    if not stream.codec_context:
        container.close()
        raise MediaError("no decoder for the audio stream's codec")
    return container


def read_audio_info(media: MediaFile, container: Any) -> AudioInfo:
    """Describe the first audio stream of a container opened from `media`, from its header where that states a length.

    Raises:
        MediaError: rate or channels are missing from the header.
    """
    stream = container.streams.audio[0]
    rate, channels = stream.codec_context.sample_rate, stream.codec_context.channels
    if not rate or not channels:
        raise MediaError(f"the header gives {rate} Hz and {channels} channels")
    return AudioInfo(
        sample_rate=rate,
        channels=channels,
        num_frames=round(_duration_seconds(media, container) * rate),
        codec=f"{container.format.name}/{stream.codec_context.codec.canonical_name}",
        exact=False,
    )


def channel_names_of(stream: Any) -> tuple[str, ...] | None:
    """FFmpeg's names of the stream's channels in order, or None where their places are unknown."""
    names = tuple(channel.name for channel in stream.codec_context.layout.channels)
    return None if "NONE" in names else names


def read_channel_names(media: MediaFile) -> tuple[str, ...] | None:
    """`channel_names_of` the first audio stream of a file; None where FFmpeg does not open the file."""
    try:
        with open_container(media) as container:
            return channel_names_of(container.streams.audio[0])
    except MediaError:
        return None


def _duration_seconds(media: MediaFile, container: Any) -> Fraction:
    stream = container.streams.audio[0]
    if container.format.name not in _LENGTH_IS_A_GUESS:
        if stream.duration:
            return Fraction(stream.duration) * Fraction(stream.time_base)
        if tag := _MATROSKA_DURATION.match(stream.metadata.get("DURATION", "")):
            return 3600 * Fraction(tag[1]) + 60 * Fraction(tag[2]) + Fraction(tag[3])
        if container.duration and len(container.streams) == 1:
            return Fraction(container.duration, av.time_base)
    with open_container(media) as reread:  # count packets, so that the caller's container stays at its start
        stream = reread.streams.audio[0]
        ticks = 0
        with contextlib.suppress(av.error.FFmpegError):  # a damaged end: what lies before it counts
            for packet in reread.demux(stream):
                ticks += packet.duration or 0
        media.check()
        return ticks * Fraction(stream.time_base)
