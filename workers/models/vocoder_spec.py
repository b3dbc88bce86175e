"""Settings of vocoders in the transformers format."""

from collections.abc import Mapping
from math import prod
from typing import Any, ClassVar, Literal

from workers.models.published_spec import PublishedSpec
from workers.spec import PathText

# AudioLDM2's vocoder (https://huggingface.co/cvssp/audioldm2, vocoder/config.json).
AUDIOLDM2_VOCODER: dict[str, Any] = {
    "architectures": ["SpeechT5HifiGan"],
    "model_in_dim": 64,
    "sampling_rate": 16_000,
    "upsample_initial_channel": 1024,
    "upsample_rates": [5, 4, 2, 2, 2],
    "upsample_kernel_sizes": [16, 16, 8, 4, 4],
    "resblock_kernel_sizes": [3, 7, 11],
    "resblock_dilation_sizes": [[1, 3, 5]] * 3,
    "leaky_relu_slope": 0.1,
    "normalize_before": False,
}


class VocoderSpec(PublishedSpec):
    """A published `SpeechT5HifiGan`: log-mels to waveforms."""

    subfolder: ClassVar[str] = "vocoder"
    stem: ClassVar[str] = "model"
    random_config: ClassVar[Mapping[str, Any]] = AUDIOLDM2_VOCODER

    kind: Literal["speecht5_hifigan"] = "speecht5_hifigan"
    """Selects this model."""

    weights: PathText = "cvssp/audioldm2"
    """A folder (here or at a URI) or hub id of a vocoder or of a pipeline with a `vocoder` folder; or `random`,
    AudioLDM2's shape from `seed`."""

    @classmethod
    def check_class(cls, config: Mapping[str, Any], weights: str) -> None:
        """As `PublishedSpec` says."""
        names = config.get("architectures") or [config.get("model_type")]
        if "SpeechT5HifiGan" not in names and "hifigan" not in names:
            raise ValueError(f"{weights} holds a {', '.join(map(str, names))}, expected a SpeechT5HifiGan")

    def check_mel(self, *, sample_rate: int, n_mels: int, hop_length: int) -> None:
        """Refuse a front end whose mels this vocoder does not take.

        Raises:
            ValueError: Rate, bands or hop differ.
        """
        config = AUDIOLDM2_VOCODER | dict(self.config())
        wanted = (
            ("mel.sample_rate", sample_rate, int(config["sampling_rate"])),
            ("mel.n_mels", n_mels, int(config["model_in_dim"])),
            ("mel.hop_length", hop_length, prod(config["upsample_rates"])),
        )
        wrong = [f"{name} is {given} and the vocoder's {own}" for name, given, own in wanted if given != own]
        if wrong:
            raise ValueError(f"vocoder {self.weights} does not fit the mel: {', '.join(wrong)}")
