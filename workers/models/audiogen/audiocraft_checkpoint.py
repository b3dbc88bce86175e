"""AudioGen and MusicGen as audiocraft exports them: `state_dict.bin` and `compression_state_dict.bin` in a folder."""

from pathlib import Path

from workers.models.audiogen.audiocraft_file import (
    CODEC_FILE,
    LM_FILE,
    AudiocraftFile,
    Pointer,
    read_audiocraft_file,
)
from workers.models.audiogen.audiocraft_shape import audiogen_shape, encodec_shape
from workers.models.audiogen.audiocraft_state import codec_state, lm_state
from workers.models.audiogen.checkpoint import AudioGenCheckpoint, CodecCheckpoint
from workers.models.audiogen.shape import AudioGenShape, EncodecShape


def read_audiocraft_checkpoint(folder: Path, *, codec: CodecCheckpoint | None = None) -> AudioGenCheckpoint:
    """Read a model. Nothing in its files gets run.

    Args:
        folder: With both files.
        codec: To use instead of the folder's.

    Raises:
        ValueError: A file is missing, cut short or damaged; the codec's only names a published one; something is set
            that is not built here; or settings, tensors, language model and codec do not fit each other.
    """
    file = _lm_file(folder)
    codec = codec or read_audiocraft_codec(folder)
    shape = audiogen_shape(file, codec.shape)
    return AudioGenCheckpoint(shape=shape, lm_state=lm_state(file, shape.lm), codec_state=codec.state)


def read_audiocraft_shape(folder: Path, codec: EncodecShape) -> AudioGenShape:
    """Read a model's shape, without its tensors.

    Raises:
        ValueError: As `read_audiocraft_checkpoint`.
    """
    return audiogen_shape(_lm_file(folder, lazily=True), codec)


def read_audiocraft_codec(folder: Path) -> CodecCheckpoint:
    """Read the codec alone.

    Raises:
        ValueError: As `read_audiocraft_checkpoint`.
    """
    file = read_audiocraft_file(folder / CODEC_FILE)
    if isinstance(file, Pointer):
        raise ValueError(
            f"{folder / CODEC_FILE} holds no codec and names {file.pretrained}: set codec to a folder of that model in "
            "the transformers format, or to its hub id"
        )
    return CodecCheckpoint(shape=encodec_shape(file.config), state=codec_state(file))


def _lm_file(folder: Path, *, lazily: bool = False) -> AudiocraftFile:
    file = read_audiocraft_file(folder / LM_FILE, lazily=lazily)
    if isinstance(file, Pointer):
        raise ValueError(f"{folder / LM_FILE} only names {file.pretrained}: give that model instead")
    return file
