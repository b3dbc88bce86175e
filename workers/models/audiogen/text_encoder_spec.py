"""Settings of text encoders in the transformers format."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from workers.models.checkpoint import Checkpoint
from workers.models.published_spec import PublishedSpec
from workers.spec import PathText

TOKENIZER_FILES = (
    "added_tokens.json",
    "special_tokens_map.json",
    "spiece.model",
    "tokenizer.json",
    "tokenizer_config.json",
)

# Of ByT5's tokens (bytes and special ones), so that no vocabulary is needed.
_TINY_T5: dict[str, Any] = {
    "model_type": "t5",
    "vocab_size": 384,
    "d_model": 32,
    "d_kv": 8,
    "d_ff": 64,
    "num_layers": 2,
    "num_heads": 4,
}


class TextEncoderSpec(PublishedSpec):
    """The encoder of a published T5 (https://doi.org/10.48550/arXiv.1910.10683), or of a MusicGen in its format."""

    subfolder: ClassVar[str] = "text_encoder"
    stem: ClassVar[str] = "model"
    companions: ClassVar[tuple[str, ...]] = TOKENIZER_FILES
    random_config: ClassVar[Mapping[str, Any]] = _TINY_T5

    kind: Literal["t5"] = "t5"
    """Selects this model."""

    weights: PathText
    """A folder (here or at a URI) or hub id of a T5 with its tokenizer, or of a MusicGen with one; or `random`, a tiny
    T5 over bytes."""

    random_dim: Annotated[int, Field(gt=0)] = _TINY_T5["d_model"]
    """Width of the hidden states where weights are random."""

    max_text_length: Annotated[int, Field(gt=1)] = 256
    """Tokens that a text may have; a longer one is refused."""

    @classmethod
    def check_class(cls, config: Mapping[str, Any], weights: str) -> None:
        """As `PublishedSpec` says."""
        kind = t5_config(config).get("model_type")
        if kind != "t5":
            raise ValueError(f"{weights} holds a {config.get('model_type')}, expected a t5 (or a musicgen with one)")

    def config(self) -> Mapping[str, Any]:
        """As `PublishedSpec` says."""
        config = super().config()
        return {**config, "d_model": self.random_dim} if self.weights == "random" else config

    def check_tokenizer(self) -> None:
        """Refuse a model without one.

        Raises:
            ValueError: There is none beside it, or the model itself cannot be found.
        """
        checkpoint = self.checkpoint()
        if checkpoint is not None:
            require_tokenizer(checkpoint)


def require_tokenizer(checkpoint: Checkpoint) -> None:
    """Refuse files without a tokenizer.

    Raises:
        ValueError: There is none beside the model.
    """
    if not checkpoint.companions:
        raise ValueError(
            f"no tokenizer in {checkpoint.folder}: expected tokenizer.json or spiece.model beside config.json, as "
            "save_pretrained of the tokenizer writes them"
        )


def t5_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The text encoder's part of a config."""
    part = config.get("text_encoder") if config.get("model_type") == "musicgen" else config
    return part if isinstance(part, Mapping) else {}


def hub_id_of(name: str) -> str:
    """Where the hub keeps a T5 that audiocraft names: `t5-large` is `google-t5/t5-large` by now."""
    return name if "/" in name else f"google-t5/{name}"
