"""Where a model's files are. The one place that knows in which formats AudioGen and MusicGen are published."""

from dataclasses import dataclass
from pathlib import Path

from workers.models.audiogen.audiocraft_checkpoint import (
    read_audiocraft_checkpoint,
    read_audiocraft_codec,
    read_audiocraft_shape,
)
from workers.models.audiogen.audiocraft_file import CODEC_FILE, LM_FILE
from workers.models.audiogen.checkpoint import AudioGenCheckpoint, CodecCheckpoint
from workers.models.audiogen.musicgen_checkpoint import (
    GENERATION_FILE,
    read_encodec_checkpoint,
    read_musicgen_checkpoint,
    read_musicgen_shape,
)
from workers.models.audiogen.shape import AudioGenShape
from workers.models.checkpoint import Checkpoint, find_checkpoint, find_files, read_json

_CONFIG_FILE = "config.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFiles:
    """A model on disk, not read yet."""

    model: Checkpoint | Path
    """In the transformers format; or the folder of audiocraft's files."""

    codec: Checkpoint | Path | None
    """The codec, likewise, where it is not the model's own."""

    @property
    def weight_paths(self) -> tuple[Path, ...]:
        """The files of weights, for a digest beside the shape."""
        if isinstance(self.model, Checkpoint):
            return self.model.files
        codec = self.codec or self.model
        return (self.model / LM_FILE, *(codec.files if isinstance(codec, Checkpoint) else [codec / CODEC_FILE]))

    @property
    def has_text_encoder(self) -> bool:
        """Whether its text encoder lies in the same folder: audiocraft's files only name one."""
        return isinstance(self.model, Checkpoint)

    def shape(self) -> AudioGenShape:
        """Read the shape.

        Raises:
            ValueError: As `load`.
        """
        if isinstance(self.model, Checkpoint):
            return read_musicgen_shape(self.model)
        return read_audiocraft_shape(self.model, self._codec().shape)

    def load(self) -> AudioGenCheckpoint:
        """Read everything.

        Raises:
            ValueError: A file is cut short or damaged, something is set that is not built here, or parts do not fit;
                the message says what to do.
        """
        if isinstance(self.model, Checkpoint):
            return read_musicgen_checkpoint(self.model)
        return read_audiocraft_checkpoint(self.model, codec=self._codec())

    def _codec(self) -> CodecCheckpoint:
        assert isinstance(self.model, Path)
        codec = self.codec or self.model
        return read_encodec_checkpoint(codec) if isinstance(codec, Checkpoint) else read_audiocraft_codec(codec)


def find_model(
    weights: str,
    *,
    revision: str | None = None,
    allow_pickle: bool = False,
    codec: str | None = None,
    codec_revision: str | None = None,
) -> ModelFiles:
    """Locate a model as audiocraft exports it, or in the transformers format where a folder has it in both.

    Args:
        weights: A folder (here or at a URI) or hub id.
        revision: Commit, tag or branch on the hub.
        allow_pickle: Take `.bin` weights in the transformers format where there are no safetensors. audiocraft's files
            need no leave: just tensors and text are read from them.
        codec: Folder or hub id of a codec in either format, where the model does not hold its own.
        codec_revision: As `revision`, of the codec.

    Raises:
        ValueError: There is no such folder, or nothing of either format in it; the message says what to do.
    """
    if _model_type(weights, revision) == "musicgen":
        if codec is not None:
            raise ValueError(f"{weights} holds its own codec: leave out codec ({codec})")
        found = find_checkpoint(
            weights, stem="model", revision=revision, allow_pickle=allow_pickle, companions=[GENERATION_FILE]
        )
        return ModelFiles(model=found, codec=None)
    folder = find_files(weights, [LM_FILE] if codec else [LM_FILE, CODEC_FILE], revision=revision)
    if not (folder / LM_FILE).is_file():
        raise ValueError(
            f"{weights} holds no AudioGen or MusicGen: expected {LM_FILE} and {CODEC_FILE}, as audiocraft exports, or "
            f"{_CONFIG_FILE} of a musicgen beside safetensors"
        )
    return ModelFiles(model=folder, codec=_find_codec(codec, codec_revision, allow_pickle) if codec else None)


def _find_codec(weights: str, revision: str | None, allow_pickle: bool) -> Checkpoint | Path:
    if _model_type(weights, revision) == "encodec":
        return find_checkpoint(weights, stem="model", revision=revision, allow_pickle=allow_pickle)
    folder = find_files(weights, [CODEC_FILE], revision=revision)
    if not (folder / CODEC_FILE).is_file():
        raise ValueError(
            f"{weights} holds no codec: expected {CODEC_FILE}, as audiocraft exports, or {_CONFIG_FILE} of an encodec "
            "beside safetensors"
        )
    return folder


def _model_type(weights: str, revision: str | None) -> str | None:
    path = find_files(weights, [_CONFIG_FILE], revision=revision) / _CONFIG_FILE
    return read_json(path).get("model_type") if path.is_file() else None
