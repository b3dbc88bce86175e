"""Settings of CLAP models."""

from typing import ClassVar, Literal

from workers.models.hearing_spec import HearingSpec


class ClapSpec(HearingSpec):
    """A published `ClapModel`: sounds and texts in one space."""

    companions: ClassVar[tuple[str, ...]] = (
        *HearingSpec.companions,
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "vocab.json",
        "merges.txt",
    )
    model_type: ClassVar[str] = "clap"
    default_rate_hz: ClassVar[int] = 48_000

    kind: Literal["clap"] = "clap"
    """Selects this model."""

    def check_tokenizer(self) -> None:
        """Looks for the files of the tokenizer; without any, transformers makes one up.

        Raises:
            ValueError: There are none beside the model.
        """
        checkpoint = self.checkpoint()
        if checkpoint is None or not {"tokenizer.json", "vocab.json"} & {path.name for path in checkpoint.companions}:
            raise ValueError(f"no tokenizer beside the model {self.weights}, which texts need: save it there too")

    @property
    def dimension(self) -> int:
        """Of the space, d."""
        return int(self.config().get("projection_dim", 512))
