"""Cut spans out of recordings as waveforms of one rate and channel policy."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from workers.audio.channels import mix
from workers.audio.decode_spec import DecodeSpec
from workers.audio.resample import ResampleWindow, resample, resample_window, resampled_length
from workers.media.errors import MediaError
from workers.media.open_audio import AudioReader, open_audio

_PADDABLE_SECONDS = 0.1
"""How much may be missing at the end of a recording whose header gives a rounded duration; zeros stand in for it."""


@dataclass(frozen=True, slots=True)
class Span:
    """A half-open stretch of a recording, counted in samples after resampling."""

    start_sample: int
    """First sample, at `DecodeSpec.sample_rate`."""

    num_samples: int
    """Length, at `DecodeSpec.sample_rate`; at least 1."""


def decode_spans(
    path: str, spans: Sequence[Span], spec: DecodeSpec, member: str | None = None
) -> list[NDArray[np.float32] | MediaError]:
    """Decode spans of a recording, or of the first audio stream of a video.

    A span's samples depend on the file, the span and the spec alone, not on the spans beside it. They equal the same
    samples of the whole file resampled at once to 1e-6 (`QQ`, which interpolates: 1e-4), so neighbouring spans join
    without a click; where the file has the wanted rate already they are the decoder's own, bit for bit.

    Args:
        path: a local path or a URI.
        spans: in any order; each is read by itself, with a little context for the resampler.
        spec: wanted rate, channels and resampler quality.
        member: which bytes of it (see `media_file`); None if it is all of it.

    Returns:
        For each span, in the order given, a waveform, float32 [channels, num_samples], C-contiguous, full scale 1.0, or
        the `MediaError` that says why there is none.
    """
    order = sorted(range(len(spans)), key=lambda index: spans[index].start_sample)
    each = decode_each([spans[index] for index in order], path=path, spec=spec, member=member)
    decoded = dict(zip(order, each, strict=True))
    return [decoded[index] for index in range(len(spans))]


def decode_each(
    spans: Sequence[Span],
    *,
    path: str,
    spec: DecodeSpec,
    member: str | None = None,
    listed_length: bool = False,
    keep_nonfinite: bool = False,
) -> Iterator[NDArray[np.float32] | MediaError]:
    """`decode_spans` one by one, in the order given; ascending starts are the fast order.

    Args:
        spans: see `decode_spans`.
        path: likewise.
        spec: likewise.
        member: likewise.
        listed_length: the spans were cut from a duration that a manifest gives, and those are rounded: a little may be
            missing at the end, as where a header gives a rounded one.
        keep_nonfinite: samples that are NaN or infinite are given as they are, and not an error.
    """
    reader: AudioReader | None = None
    try:
        for span in spans:
            try:
                if reader is None:
                    reader = open_audio(path, member)
                with np.errstate(over="ignore", invalid="ignore"):  # non-finite samples are found at the end
                    waveform = _decode_span(reader, span, spec, listed_length)
                if not keep_nonfinite:
                    _check_finite(waveform)
                result: NDArray[np.float32] | MediaError = waveform
            except MediaError as error:
                result = error
                if reader is not None:  # its decoder may be confused now; the next span gets a new one
                    reader.close()
                    reader = None
            yield result
    finally:
        if reader is not None:
            reader.close()


def decode_units(
    units: Sequence[tuple[str, str | None, Span]], *, spec: DecodeSpec, **options: bool
) -> Iterator[NDArray[np.float32] | MediaError]:
    """`decode_each` over spans of several recordings, each with its path and member; `options` are passed on.

    Neighbours of one recording share one opening of it.
    """
    for (path, member), group in groupby(units, key=lambda unit: unit[:2]):
        spans = [span for _, _, span in group]
        yield from decode_each(spans, path=path, spec=spec, member=member, **options)


def _decode_span(reader: AudioReader, span: Span, spec: DecodeSpec, listed_length: bool) -> NDArray[np.float32]:
    info = reader.info
    rates = {"rate_in": info.sample_rate, "rate_out": spec.sample_rate}
    exact = info.exact and not listed_length
    _check_span(span, resampled_length(info.num_frames, **rates), exact, spec.sample_rate)
    window = resample_window(span.start_sample, span.num_samples, **rates)
    samples = mix(_read_window(reader, window), spec.channels, _names(reader, spec))
    samples = _extend(samples, window.stop - window.start)
    samples = resample(samples, window, **rates, quality=spec.resample_quality)
    return np.ascontiguousarray(samples.T)


def _check_finite(waveform: NDArray[np.float32]) -> None:
    finite = np.isfinite(waveform)
    if not finite.all():
        raise MediaError(f"non-finite samples: {np.count_nonzero(~finite)} of {waveform.size} are NaN or infinite")


def _check_span(span: Span, available: int, exact: bool, rate: int) -> None:
    """Refuse what the header already rules out."""
    if span.start_sample < 0 or span.num_samples < 1:
        raise MediaError(f"not a span: start {span.start_sample}, {span.num_samples} samples")
    end = span.start_sample + span.num_samples
    if end > available + (0 if exact else round(_PADDABLE_SECONDS * rate)):
        raise MediaError(
            f"truncated: expected {end} samples at {rate} Hz, got {available}: "
            f"{end / rate:.3f} s, {available / rate:.3f} s"
        )


def _read_window(reader: AudioReader, window: ResampleWindow) -> NDArray[np.float32]:
    """Native samples of a window, float32 [num, channels], as far as the recording goes."""
    info = reader.info
    samples = reader.read(window.start, window.stop)
    wanted = min(window.stop, info.num_frames) - window.start
    paddable = 0 if info.exact else round(_PADDABLE_SECONDS * info.sample_rate)
    at_the_end = window.start + len(samples) + paddable >= info.num_frames
    if len(samples) < wanted and not at_the_end:
        got = window.start + len(samples)
        raise MediaError(
            f"truncated: expected {info.num_frames} samples at {info.sample_rate} Hz, got {got}: "
            f"{info.duration_seconds:.3f} s, {got / info.sample_rate:.3f} s"
        )
    return samples


def _extend(samples: NDArray[np.float32], num_samples: int) -> NDArray[np.float32]:
    """Zeros behind the end, up to `num_samples`."""
    if len(samples) == num_samples:
        return samples
    extended = np.zeros((num_samples, samples.shape[1]), np.float32)
    extended[: len(samples)] = samples
    return extended


def _names(reader: AudioReader, spec: DecodeSpec) -> tuple[str, ...] | None:
    """Channel names where the policy needs them; some readers have to open the file again to tell."""
    return reader.channel_names if spec.channels == "stereo" and reader.info.channels > 2 else None
