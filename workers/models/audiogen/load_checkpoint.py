"""The one place that knows in which formats AudioGen and MusicGen are published."""

from workers.models.audiogen.audiocraft_checkpoint import read_audiocraft_checkpoint, read_audiocraft_codec
from workers.models.audiogen.audiocraft_file import CODEC_FILE, LM_FILE
from workers.models.audiogen.checkpoint import AudioGenCheckpoint, CodecCheckpoint
from workers.models.audiogen.musicgen_checkpoint import (
    GENERATION_FILE,
    read_encodec_checkpoint,
    read_musicgen_checkpoint,
)
from workers.models.checkpoint import find_checkpoint, find_files, read_json

_CONFIG_FILE = "config.json"


def load_checkpoint(
    weights: str,
    *,
    revision: str | None = None,
    allow_pickle: bool = False,
    codec: str | None = None,
    codec_revision: str | None = None,
) -> AudioGenCheckpoint:
    """Read a model as audiocraft exports it, or in the transformers format where a folder has it in both.

    Args:
        weights: A folder (here or at a URI) or hub id.
        revision: Commit, tag or branch on the hub.
        allow_pickle: Take `.bin` weights in the transformers format where there are no safetensors. audiocraft's files
            need no leave: just tensors and text are read from them, as from those.
        codec: Folder or hub id of the codec, where the model does not hold its own.
        codec_revision: As `revision`, of the codec.

    Raises:
        ValueError: There is no such model, it is neither format, or it cannot be read; the message says what to do.
    """
    if _model_type(weights, revision) == "musicgen":
        found = find_checkpoint(
            weights, stem="model", revision=revision, allow_pickle=allow_pickle, beside=[GENERATION_FILE]
        )
        if codec is not None:
            raise ValueError(f"{weights} holds its own codec: leave out codec ({codec})")
        return read_musicgen_checkpoint(found)
    names = [LM_FILE] if codec else [LM_FILE, CODEC_FILE]
    folder = find_files(weights, names, revision=revision)
    if not (folder / LM_FILE).is_file():
        raise ValueError(
            f"{weights} holds no AudioGen or MusicGen: expected {LM_FILE} and {CODEC_FILE}, as audiocraft exports, or "
            f"{_CONFIG_FILE} of a musicgen beside safetensors"
        )
    if codec is None:
        return read_audiocraft_checkpoint(folder)
    return read_audiocraft_checkpoint(
        folder, codec=lambda: load_codec(codec, revision=codec_revision, allow_pickle=allow_pickle)
    )


def load_codec(weights: str, *, revision: str | None = None, allow_pickle: bool = False) -> CodecCheckpoint:
    """Read a codec alone, in either format.

    Args:
        weights: A folder (here or at a URI) or hub id, such as `facebook/encodec_32khz`.
        revision: Commit, tag or branch on the hub.
        allow_pickle: As `load_checkpoint`.

    Raises:
        ValueError: As `load_checkpoint`.
    """
    if _model_type(weights, revision) == "encodec":
        return read_encodec_checkpoint(
            find_checkpoint(weights, stem="model", revision=revision, allow_pickle=allow_pickle)
        )
    folder = find_files(weights, [CODEC_FILE], revision=revision)
    if not (folder / CODEC_FILE).is_file():
        raise ValueError(
            f"{weights} holds no codec: expected {CODEC_FILE}, as audiocraft exports, or {_CONFIG_FILE} of an encodec "
            "beside safetensors"
        )
    return read_audiocraft_codec(folder)


def _model_type(weights: str, revision: str | None) -> str | None:
    path = find_files(weights, [_CONFIG_FILE], revision=revision) / _CONFIG_FILE
    return read_json(path).get("model_type") if path.is_file() else None
