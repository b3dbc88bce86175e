"""Settings of AudioGen and MusicGen: which model, and where its parts are."""

from os import PathLike
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from workers.models.audiogen.custom_shape import CustomShape
from workers.models.audiogen.shape import AudioGenShape
from workers.models.audiogen.sizes import Size, shape_of
from workers.models.audiogen.text_encoder_spec import TextEncoderSpec, hub_id_of, t5_config
from workers.models.checkpoint import find_folder, hub_commit
from workers.spec import PathText, Spec

if TYPE_CHECKING:
    from workers.models.audiogen.model_files import ModelFiles

LICENCE_NOTE = (
    "the weights of AudioGen and MusicGen that Meta published are licensed CC-BY-NC 4.0: not for commercial use"
)


def _named(value: Any) -> Any:
    """A folder or hub id alone is a text encoder's weights."""
    return {"weights": value} if isinstance(value, str | PathLike) else value


class AudioGenSpec(Spec):
    """A published AudioGen (https://doi.org/10.48550/arXiv.2209.15352) or MusicGen, or one with random weights."""

    kind: Literal["audiogen"] = "audiogen"
    """Selects this model."""

    weights: PathText = "facebook/audiogen-medium"
    """A folder (here or at a URI) or hub id of what audiocraft exports, or of a MusicGen in the transformers format; or
    `random`, weights from `seed`."""

    revision: str | None = None
    """Commit, tag or branch on the hub; the newest commit where null. A run keeps to the commit that it began with."""

    allow_pickle: bool = False
    """Load `.bin` weights in the transformers format where there are no safetensors: tensors only, nothing in them gets
    run."""

    size: Size = "debug"
    """Shape of a model with random weights; others bring their own."""

    custom_shape: CustomShape | None = None
    """Shape of a model with random weights, number by number, instead of `size`."""

    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Seed of the weights where they are random."""

    codec: PathText | None = None
    """A folder (here or at a URI) or hub id of the codec, where the model's files only name one."""

    codec_revision: str | None = None
    """As `revision`, of the codec."""

    text_encoder: Annotated[TextEncoderSpec | None, BeforeValidator(_named)] = None
    """The T5 that the model was trained with; found by what its files say where null. A text stands for `weights`."""

    @model_validator(mode="after")
    def _parts_of_random_models_are_random(self) -> Self:
        if self.weights == "random" and (self.codec or self.codec_revision or self.revision):
            raise ValueError(
                "weights is random, and codec, codec_revision or revision is given: leave those out, or give weights"
            )
        if self.custom_shape and (self.weights != "random" or self.size != "debug"):
            wrong = "size is given too" if self.weights == "random" else f"weights is {self.weights}"
            raise ValueError(f"custom_shape is for random weights, instead of size, and {wrong}: leave one of them out")
        if self.codec_revision and not self.codec:
            raise ValueError("codec_revision is given without codec: give the codec too, or leave it out")
        return self

    def resolved(self) -> tuple[Self, tuple[str, ...]]:
        """This model as every process of a run will find it: folders as absolute paths, hub ids at one commit.

        Returns:
            The spec, whose text encoder is not null, and sentences for what was decided.

        Raises:
            ValueError: There is no such model, codec or text encoder, or one of them is refused.
        """
        if self.weights == "random":
            longest = {"max_text_length": self.custom_shape.max_text_length} if self.custom_shape else {}
            encoder = self.text_encoder or TextEncoderSpec(
                weights="random", random_dim=self.shape().lm.text_dim, seed=self.seed, **longest
            )
            encoder, notes = encoder.resolved()
            return self.model_copy(update={"text_encoder": encoder}), notes
        weights, revision, notes = _pinned(self.weights, self.revision, "weights")
        changes: dict[str, object] = {"weights": weights, "revision": revision}
        if self.codec:
            codec, codec_revision, more = _pinned(self.codec, self.codec_revision, "codec")
            changes |= {"codec": codec, "codec_revision": codec_revision}
            notes += more
        pinned = self.model_copy(update=changes)
        encoder = self.text_encoder or pinned._its_text_encoder()
        try:
            encoder, more = encoder.resolved()
        except ValueError as error:
            raise ValueError(
                f"{self.weights} needs the text encoder that it was trained with, and text_encoder.weights is "
                f"{encoder.weights}: {error}"
            ) from error
        return pinned.model_copy(update={"text_encoder": encoder}), (*notes, *more, LICENCE_NOTE)

    def shape(self) -> AudioGenShape:
        """What the model's files say of it; no weights are loaded.

        Raises:
            ValueError: They cannot be found or read.
        """
        if self.custom_shape is not None:
            return self.custom_shape.shape()
        return shape_of(self.size) if self.weights == "random" else self.files().shape()

    def files(self) -> "ModelFiles":
        """Where the weights are; they are fetched if they are elsewhere.

        Raises:
            ValueError: They are random, or cannot be found or fetched.
        """
        from workers.models.audiogen.model_files import find_model

        if self.weights == "random":
            raise ValueError("random weights have no files")
        return find_model(
            self.weights,
            revision=self.revision,
            allow_pickle=self.allow_pickle,
            codec=self.codec,
            codec_revision=self.codec_revision,
        )

    def resolved_text_encoder(self) -> TextEncoderSpec:
        """The text encoder of a resolved spec.

        Raises:
            ValueError: The spec is not resolved.
        """
        if self.text_encoder is None:
            raise ValueError("text_encoder is still null; call resolved() first")
        return self.text_encoder

    def check_text_width(self, width: int) -> None:
        """Refuse a text encoder whose states are not as wide as those that the language model was trained on.

        Raises:
            ValueError: They are not.
        """
        shape = self.shape()
        if width != shape.lm.text_dim:
            raise ValueError(
                f"the text encoder {self.resolved_text_encoder().weights} gives states of width {width}, and "
                f"{self.weights} takes {shape.lm.text_dim}: give the one that it was trained with "
                f"({shape.text_encoder})"
            )

    def check_text_encoder(self) -> None:
        """Look at the text encoder of a resolved spec without loading its weights.

        Raises:
            ValueError: As `check_text_width`, or there is no tokenizer.
        """
        encoder = self.resolved_text_encoder()
        self.check_text_width(int(t5_config(encoder.config())["d_model"]))
        encoder.check_tokenizer()

    def _its_text_encoder(self) -> TextEncoderSpec:
        files = self.files()
        if files.has_text_encoder:
            return TextEncoderSpec(weights=self.weights, revision=self.revision, allow_pickle=self.allow_pickle)
        return TextEncoderSpec(weights=hub_id_of(files.shape().text_encoder))


def _pinned(weights: str, revision: str | None, what: str) -> tuple[str, str | None, tuple[str, ...]]:
    """A folder as an absolute path, or a hub id's revision as its commit; and a sentence for that."""
    if folder := find_folder(weights):
        return folder, revision, ()
    commit = hub_commit(weights, revision=revision)
    if commit == revision:
        return weights, revision, ()
    meaning = f"revision {revision}" if revision else "the newest revision"
    return weights, commit, (f"{what}: {weights} at commit {commit}, which {meaning} stands for",)
