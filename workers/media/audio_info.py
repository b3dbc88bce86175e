"""What the header of a recording says."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioInfo:
    """Header facts of a file's first audio stream; nothing is decoded to get them."""

    sample_rate: int
    """Hz."""

    channels: int
    """Number of channels in the file."""

    num_frames: int
    """Samples per channel at `sample_rate`."""

    codec: str
    """Container and codec, such as `FLAC/PCM_16` or `mov,mp4,m4a,3gp,3g2,mj2/aac`."""

    exact: bool
    """Whether `num_frames` is a count (libsndfile's formats) or follows from a duration, which codecs round."""

    @property
    def duration_seconds(self) -> float:
        """Length of the recording."""
        return self.num_frames / self.sample_rate
