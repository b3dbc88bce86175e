"""Settings of audio spectrogram transformers."""

from typing import ClassVar, Literal

from workers.models.hearing_spec import HearingSpec


class AstSpec(HearingSpec):
    """A published `ASTForAudioClassification`: classes of sounds, and the embedding that they are told from."""

    model_type: ClassVar[str] = "audio-spectrogram-transformer"
    default_rate_hz: ClassVar[int] = 16_000

    kind: Literal["ast"] = "ast"
    """Selects this model."""

    @property
    def dimension(self) -> int:
        """Of the embedding, d."""
        return int(self.config().get("hidden_size", 768))

    @property
    def num_classes(self) -> int:
        """K.

        Raises:
            ValueError: The model's config names no classes.
        """
        config = self.config()
        names = config.get("id2label")
        return len(names) if names else int(config.get("num_labels", 2))  # transformers saves no names of two
