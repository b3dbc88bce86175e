"""Settings of vocoders in the transformers format."""

from collections.abc import Mapping
from math import prod
from typing import Any, ClassVar, Literal

from workers.audio.mel_spec import MelSpec
from workers.models.published_spec import PublishedSpec
from workers.models.vocoder_mel import check_same_mel
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

# What each class takes where its config does not say. The second one's config has no rate.
_DEFAULTS: dict[str, dict[str, Any]] = {
    "SpeechT5HifiGan": {"model_in_dim": 80, "sampling_rate": 16_000, "upsample_rates": [4, 4, 4, 4]},
    "FastSpeech2ConformerHifiGan": {"model_in_dim": 80, "sampling_rate": None, "upsample_rates": [8, 8, 2, 2]},
}
_CLASS_OF_TYPE = {
    "hifigan": "SpeechT5HifiGan",  # as transformers wrote it before release 5
    "speecht5_hifigan": "SpeechT5HifiGan",
    "fastspeech2_conformer_hifigan": "FastSpeech2ConformerHifiGan",
}


class TransformersVocoderSpec(PublishedSpec):
    """A published `SpeechT5HifiGan`, or the `FastSpeech2ConformerHifiGan` of the same structure."""

    subfolder: ClassVar[str] = "vocoder"
    stem: ClassVar[str] = "model"
    random_config: ClassVar[Mapping[str, Any]] = AUDIOLDM2_VOCODER

    kind: Literal["speecht5_hifigan"] = "speecht5_hifigan"
    """Selects this format."""

    weights: PathText = "cvssp/audioldm2"
    """A folder (here or at a URI) or hub id of a vocoder or of a pipeline with a `vocoder` folder; or `random`,
    AudioLDM2's shape from `seed`. A `FastSpeech2ConformerHifiGan` will do too; its config states no sample rate, so
    that of `mel` is not compared."""

    @classmethod
    def check_class(cls, config: Mapping[str, Any], weights: str) -> None:
        """As `PublishedSpec` says."""
        vocoder_class(config, weights)

    def check_mel(self, mel: MelSpec) -> None:
        """Refuse a front end whose mels this vocoder does not take.

        Raises:
            ValueError: Rate, bands or hop differ.
        """
        config = self.config()
        settings = _DEFAULTS[vocoder_class(config, self.weights)] | dict(config)
        own = {
            "sample_rate": settings["sampling_rate"],
            "n_mels": settings["model_in_dim"],
            "hop_length": prod(settings["upsample_rates"]),
        }
        check_same_mel(mel, own, vocoder=self.weights)


def vocoder_class(config: Mapping[str, Any], weights: str) -> str:
    """Name of the class in transformers that a config is of.

    Raises:
        ValueError: It is of none that is supported here.
    """
    named = config.get("architectures") or [_CLASS_OF_TYPE.get(str(config.get("model_type")))]
    for name in named:
        if name in _DEFAULTS:
            return str(name)
    if "resblock" in config:
        raise ValueError(f"{weights} holds a HiFi-GAN in its original format: set kind: hifigan")
    remedy = ""
    if "FastSpeech2ConformerWithHifiGan" in named:
        remedy = ": save its vocoder by itself (model.vocoder.save_pretrained) and give that folder"
    held = config.get("architectures") or [config.get("model_type")]
    raise ValueError(f"{weights} holds a {', '.join(map(str, held))}, expected a {' or a '.join(_DEFAULTS)}{remedy}")
