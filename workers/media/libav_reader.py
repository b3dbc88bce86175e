"""Recordings that FFmpeg's libraries read: AAC, WMA, WebM, surround Opus, and the sound of video files.

Decoders carry state: AAC's noise substitution draws from a generator that runs on from the start, Opus needs half a
second to settle. A sample would then depend on where decoding began. So it always begins at the same places, every
30 s, each time with a new decoder, and a sample is the same however it is asked for:

    position   0 s                30 s                60 s
    region     |---- region 0 ----|---- region 1 ----|---- …
    decoded    |=================>|
                              ...|=================>|           ... pre-roll, dropped

Files below 30 s, then, are what FFmpeg itself makes of them, to the last bit.
"""

from collections import deque
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

import av
import numpy as np
from numpy.typing import NDArray

from workers.media.audio_info import AudioInfo
from workers.media.errors import MediaError
from workers.media.libav_container import channel_names_of, open_container, read_audio_info
from workers.media.media_file import MediaFile

REGION_SECONDS = 30
"""Distance of the places where decoding begins; a read decodes at most this much that it does not need."""

_PREROLL_SECONDS = 1.0

_MAX_HOLE_SECONDS = 0.1
"""A longer gap between timestamps means lost packets; the sound is not all there."""

_FULL_SCALE = {"u8": 1 << 7, "s16": 1 << 15, "s32": 1 << 31, "s64": 1 << 63}


class LibavReader:
    """An open file; see `AudioReader`. The first sample of the first decoded frame (priming dropped) is position 0."""

    def __init__(self, media: MediaFile) -> None:
        """Open the file and read its header; `close` releases `media` as well.

        Raises:
            MediaError: not media, or no audio in it.
        """
        self._media = media
        self._run: _Run | None = None
        self._origin: int | None = None
        self._unused: Any = open_container(media)  # stands at the start of the file, for the first run
        try:
            self.info: AudioInfo = read_audio_info(media, self._unused)
        except BaseException:
            self._unused.close()
            raise
        stream = self._unused.streams.audio[0]
        self.channel_names = channel_names_of(stream)
        trusted = _timestamps_are_exact(self._unused.format.name, stream.time_base, self.info.sample_rate)
        self._region_frames = REGION_SECONDS * self.info.sample_rate if trusted else None

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        """See `AudioReader`."""
        stop = min(stop, self.info.num_frames)
        parts = [np.empty((0, self.info.channels), np.float32)]
        while start < stop:
            region = start // self._region_frames if self._region_frames else 0
            part_stop = min(stop, (region + 1) * self._region_frames) if self._region_frames else stop
            part = self._read_region(region, start, part_stop)
            parts.append(part)
            if len(part) < part_stop - start:
                break
            start = part_stop
        return np.concatenate(parts) if len(parts) > 2 else parts[-1]

    def close(self) -> None:
        """See `AudioReader`."""
        for owner in (self._run, self._unused):
            if owner is not None:
                owner.close()
        self._run = self._unused = None
        self._media.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read_region(self, region: int, start: int, stop: int) -> NDArray[np.float32]:
        """Samples of one region. What looks like a damaged or short file may be one that could not be read on."""
        try:
            part = self._run_of(region, start).read(start, stop)
        except MediaError:
            self._media.check()
            raise
        self._media.check()
        return part

    def _run_of(self, region: int, start: int) -> "_Run":
        """The decoder run of a region: the present one where it has not gone past `start`, else a new one."""
        if self._run is not None and self._run.region == region and start >= self._run.first_kept:
            return self._run
        if self._unused is not None:  # the first run starts the file, if only to learn the origin
            container, self._unused = self._unused, None
            self._run = _Run(container, self.info, 0, self._region_frames, None)
            self._origin = self._run.origin
            if region == 0:
                return self._run
        if self._run is not None:
            self._run.close()
            self._run = None
        self._run = _Run(open_container(self._media), self.info, region, self._region_frames, self._origin)
        return self._run


class _Run:
    """One decoder, running from the start of a region, and those of its frames that may still be asked for."""

    def __init__(
        self, container: Any, info: AudioInfo, region: int, region_frames: int | None, origin: int | None
    ) -> None:
        """Take over a container that stands at its start; `origin` is the timestamp of position 0, None if unknown."""
        self.region = region
        self.origin = origin
        self.first_kept = 0
        self._info = info
        self._by_timestamp = region_frames is not None
        self._frames: deque[tuple[int, NDArray[np.float32]]] = deque()
        self._end = 0
        self._container = container
        stream = container.streams.audio[0]
        stream.codec_context.thread_count = 1  # decode processes are many; each keeps to its core
        self._samples_per_tick = stream.time_base * info.sample_rate
        self._decoded = self._decode(stream)
        try:
            if region_frames is not None and region > 0 and origin is not None:
                preroll = round(_PREROLL_SECONDS * info.sample_rate)
                ticks = (region * region_frames - preroll) / self._samples_per_tick
                container.seek(origin + int(ticks), stream=stream)
            if origin is None:
                self._pull(keep_from=0)
        except av.error.FFmpegError as error:
            self.close()
            raise MediaError(f"cannot go to {region * REGION_SECONDS} s: {error.strerror}") from error
        except MediaError:
            self.close()
            raise

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        """Samples `start` to `stop`, float32 [num, channels]; fewer where the stream ends, zeros in small holes."""
        self.first_kept = start
        while self._frames and self._frames[0][0] + len(self._frames[0][1]) <= start:
            self._frames.popleft()
        while self._end < stop and self._pull(keep_from=start):
            pass
        out = np.zeros((max(0, min(stop, self._end) - start), self._info.channels), np.float32)
        filled = start
        for position, samples in self._frames:
            if min(position, stop) - filled > _MAX_HOLE_SECONDS * self._info.sample_rate:
                raise MediaError(
                    f"packets are missing: nothing to decode from {filled / self._info.sample_rate:.3f} s "
                    f"to {position / self._info.sample_rate:.3f} s"
                )
            if position >= stop:
                break
            offset = max(start - position, 0)
            piece = samples[offset : stop - position]
            out[position + offset - start :][: len(piece)] = piece
            filled = position + offset + len(piece)
        return out

    def close(self) -> None:
        """Release the file."""
        self._container.close()

    def _pull(self, *, keep_from: int) -> bool:
        """Decode one frame more, and keep it if it reaches beyond `keep_from`; False at the end of the stream."""
        frame = next(self._decoded, None)
        if frame is None:
            return False
        rate, channels = frame.sample_rate, frame.layout.nb_channels
        if (rate, channels) != (self._info.sample_rate, self._info.channels):
            raise MediaError(
                f"the stream changes from {self._info.sample_rate} Hz, {self._info.channels} channels to "
                f"{rate} Hz, {channels} channels at {self._end / self._info.sample_rate:.3f} s"
            )
        position = self._end
        if self._by_timestamp and frame.pts is not None:
            if self.origin is None:
                self.origin = frame.pts
            stated = round((frame.pts - self.origin) * self._samples_per_tick)
            if abs(stated - position) > 1:
                position = stated
        self._end = position + frame.samples
        if self._end > keep_from:
            self._frames.append((position, _float_samples(frame)))
        return True

    def _decode(self, stream: Any) -> Iterator[Any]:
        try:
            yield from self._container.decode(stream)
        except av.error.FFmpegError as error:
            raise MediaError(
                f"truncated or corrupt: decoding stopped after {self._end / self._info.sample_rate:.3f} s of "
                f"{self._info.duration_seconds:.3f} s ({error.strerror})"
            ) from error


def _timestamps_are_exact(container: str, time_base: Any, sample_rate: int) -> bool:
    """Whether a packet's timestamp tells its sample: MP4 and Ogg count samples, most others round to milliseconds."""
    ticks_per_second = 1 / time_base
    return container.split(",")[0] in ("mov", "ogg") and (
        ticks_per_second % sample_rate == 0 or ticks_per_second * 2 == sample_rate  # HE-AAC counts at half its rate
    )


def _float_samples(frame: Any) -> NDArray[np.float32]:
    """Samples of an `av.AudioFrame`, float32 [num, channels], full scale 1.0."""
    samples = frame.to_ndarray()  # planar: [channels, num]; packed: [1, num × channels]
    kind = frame.format.name.removesuffix("p")
    samples = samples.T if frame.format.is_planar else samples.reshape(frame.samples, -1)
    if kind in _FULL_SCALE:
        samples = samples.astype(np.float32 if kind in ("u8", "s16") else np.float64)
        if kind == "u8":
            samples -= _FULL_SCALE[kind]
        samples /= _FULL_SCALE[kind]
    return np.asarray(samples, np.float32)
