"""How recordings become waveforms: rate, channels, resampler."""

from typing import Literal

from pydantic import Field

from workers.spec import Spec

ResampleQuality = Literal["VHQ", "HQ", "MQ", "LQ", "QQ"]
ChannelPolicy = Literal["mono", "stereo", "keep"]


class DecodeSpec(Spec):
    """What a decoded waveform looks like, whatever the file was."""

    sample_rate: int = Field(ge=1_000, le=384_000)
    """Rate of the decoded waveform, Hz. A file that has another rate is resampled."""

    channels: ChannelPolicy = "mono"
    """`mono`: mean of all channels. `stereo`: mono is duplicated, surround is downmixed (ITU-R BS.775).
    `keep`: as in the file."""

    resample_quality: ResampleQuality = "HQ"
    """soxr recipe. `HQ` suits 16-bit sources, `VHQ` 24-bit ones; `MQ`, `LQ` and `QQ` are faster and alias more."""
