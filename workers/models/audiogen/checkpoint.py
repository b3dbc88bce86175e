"""An AudioGen or MusicGen, read from a folder."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from workers.models.audiogen.shape import AudioGenShape, EncodecShape


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioGenCheckpoint:
    """Shape and weights. The text encoder is not in it: both formats name one that others published."""

    shape: AudioGenShape
    """What to build."""

    lm_state: Mapping[str, Tensor]
    """The language model's tensors, by the names of `lm_state`; in the types of the file, mostly float16."""

    codec_state: Mapping[str, Tensor]
    """The codec's tensors, by the names of `codec_state`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CodecCheckpoint:
    """A codec by itself."""

    shape: EncodecShape
    """What to build."""

    state: Mapping[str, Tensor]
    """Its tensors, by the names of `codec_state`."""
