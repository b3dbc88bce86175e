"""Settings of AudioGen and MusicGen."""

from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from workers.models.audiogen.shape import AudioGenShape
from workers.models.audiogen.sizes import Size, shape_of
from workers.models.audiogen.text_encoder_spec import TextEncoderSpec, hub_id_of
from workers.models.checkpoint import find_folder, hub_commit
from workers.spec import PathText, Spec

if TYPE_CHECKING:
    from workers.models.audiogen.checkpoint import AudioGenCheckpoint

RANDOM = "random"
_LICENCE = "the weights that Meta publishes as AudioGen and MusicGen are CC-BY-NC 4.0: not for commercial use"


class AudioGenSpec(Spec):
    """A published AudioGen or MusicGen: texts to sounds."""

    kind: Literal["audiogen", "musicgen"] = "audiogen"
    """Selects this model; the two differ in their weights alone."""

    weights: PathText = "facebook/audiogen-medium"
    """A folder (here or at a URI) or hub id, of audiocraft's files (`state_dict.bin`, `compression_state_dict.bin`) or
    of a `MusicgenForConditionalGeneration`; or `random`, weights of `size` from `seed`."""

    revision: str | None = None
    """Commit, tag or branch on the hub; the newest commit where null. A run keeps to the commit that it began with."""

    allow_pickle: bool = False
    """Load `.bin` weights in the transformers format where there are no safetensors. Unpickling can run code that the
    author chose. audiocraft's files need no leave: only tensors and text are read from them."""

    text_encoder: PathText | None = None
    """A folder or hub id of the T5 that the model was trained with; null takes the model's own, or the one that it
    names. With random weights a tiny T5 over bytes takes its place."""

    text_encoder_revision: str | None = None
    """As `revision`, of the text encoder."""

    codec: PathText | None = None
    """A folder or hub id of the EnCodec, where the model's own file only points to one."""

    codec_revision: str | None = None
    """As `revision`, of the codec."""

    max_text_length: Annotated[int, Field(gt=1, le=4096)] = 256
    """Tokens that a prompt may have; a longer one goes into the quarantine."""

    size: Size = "debug"
    """Shape of a model with random weights; published ones bring their own."""

    seed: Annotated[int, Field(ge=0, lt=2**64)] = 0
    """Seed of the weights where they are random."""

    @model_validator(mode="after")
    def _check_random(self) -> Self:
        named = [name for name in ("text_encoder", "codec") if getattr(self, name) not in (None, RANDOM)]
        if self.weights == RANDOM and named:
            raise ValueError(f"weights is random, so {named[0]} has nothing to fit: leave it out, or give weights")
        return self

    def resolved(self) -> tuple[Self, tuple[str, ...]]:
        """This model as every process of a run will find it: folders as absolute paths, hub ids at one commit.

        Returns:
            The spec, and a sentence for each thing that was decided.

        Raises:
            ValueError: There is no such folder, and the hub cannot give it either.
        """
        if self.weights == RANDOM:
            return self, ()
        changes: dict[str, str | None] = {}
        notes = [_LICENCE]
        changes["weights"], changes["revision"] = _located(self.weights, self.revision, notes)
        if self.codec is not None:
            changes["codec"], changes["codec_revision"] = _located(self.codec, self.codec_revision, notes)
        text = self.model_copy(update=changes).text_spec()
        if text.weights != changes["weights"]:
            located = _located(text.weights, text.revision, notes)
            changes["text_encoder"], changes["text_encoder_revision"] = located
        return self.model_copy(update=changes), tuple(notes)

    def checkpoint(self) -> "AudioGenCheckpoint":
        """The weights, or random ones.

        Raises:
            ValueError: They cannot be found or read, or do not fit each other; the message says what to do.
        """
        if self.weights == RANDOM:
            from workers.models.audiogen.random_checkpoint import random_checkpoint

            return random_checkpoint(shape_of(self.size), self.seed)
        from workers.models.audiogen.load_checkpoint import load_checkpoint

        return load_checkpoint(
            self.weights,
            revision=self.revision,
            allow_pickle=self.allow_pickle,
            codec=self.codec,
            codec_revision=self.codec_revision,
        )

    def shape(self) -> AudioGenShape:
        """What the weights say of the model.

        Raises:
            ValueError: As `checkpoint`.
        """
        return shape_of(self.size) if self.weights == RANDOM else self.checkpoint().shape

    def text_spec(self) -> TextEncoderSpec:
        """The text encoder.

        Raises:
            ValueError: As `checkpoint`.
        """
        shape = self.shape()
        if self.weights == RANDOM:
            weights: str = RANDOM
        elif self.text_encoder is not None:
            weights = self.text_encoder
        else:
            weights = self.weights if _holds_text_encoder(self) else hub_id_of(shape.text_encoder)
        return TextEncoderSpec(
            weights=weights,
            revision=self.revision if weights == self.weights else self.text_encoder_revision,
            allow_pickle=self.allow_pickle,
            random_dim=shape.lm.text_dim,
            max_text_length=self.max_text_length,
            seed=self.seed,
        )


def _holds_text_encoder(spec: AudioGenSpec) -> bool:
    """Whether the weights are in the transformers format, in which the text encoder is one of the parts."""
    from workers.models.audiogen.audiocraft_file import LM_FILE

    return all(path.name != LM_FILE for path in spec.checkpoint().files)


def _located(weights: str, revision: str | None, notes: list[str]) -> tuple[str, str | None]:
    if folder := find_folder(weights):
        return folder, revision
    commit = hub_commit(weights, revision=revision)
    if commit != revision:
        meaning = f"revision {revision}" if revision else "the newest revision"
        notes.append(f"weights are {weights} at commit {commit}, which {meaning} stands for")
    return weights, commit
