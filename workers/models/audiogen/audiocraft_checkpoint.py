"""AudioGen and MusicGen as audiocraft exports them: `state_dict.bin` and `compression_state_dict.bin` in a folder."""

from pathlib import Path

from workers.models.audiogen.audiocraft_file import CODEC_FILE, LM_FILE, Pointer, read_audiocraft_file
from workers.models.audiogen.audiocraft_shape import audiogen_shape, encodec_shape
from workers.models.audiogen.audiocraft_state import codec_state, lm_state
from workers.models.audiogen.checkpoint import AudioGenCheckpoint


def read_audiocraft_checkpoint(folder: Path) -> AudioGenCheckpoint:
    """Read a model. Nothing in its files gets run; tensors come from the disk where they are first used.

    Args:
        folder: With both files.

    Raises:
        ValueError: A file is missing, cut short or damaged; the codec's only points to another one; something is set
            that is not built here; or settings, tensors, language model and codec do not fit each other.
    """
    file = read_audiocraft_file(folder / LM_FILE)
    if isinstance(file, Pointer):
        raise ValueError(f"{folder / LM_FILE} only points to {file.pretrained}: give that model instead")
    codec_file = read_audiocraft_file(folder / CODEC_FILE)
    if isinstance(codec_file, Pointer):
        raise ValueError(f"{folder / CODEC_FILE} only points to {codec_file.pretrained}: name a codec")
    shape = audiogen_shape(file, encodec_shape(codec_file.config))
    return AudioGenCheckpoint(
        shape=shape,
        lm_state=lm_state(file, shape.lm),
        codec_state=codec_state(codec_file),
        files=(file.path, codec_file.path),
    )
