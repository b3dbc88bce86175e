"""Mels as pictures: of a sound, and of what differs between two."""

import base64
import io
import math

import numpy as np
from numpy.typing import NDArray

from workers.audio.mel_spec import MelSpec

RANGE_DB = 80.0
"""How far below its loudest point a picture goes."""
DIFFERENCE_DB = 30.0
"""Differences beyond this have the colour of this."""
MAX_COLUMNS = 480
_DB_PER_NEPER = 20.0 / math.log(10.0)


def picture_spec(spec: MelSpec) -> MelSpec:
    """A front end as pictures need it: levels as they are, so that what is quieter looks quieter."""
    plain = {"remove_mean": False, "peak": None, "loudness_lufs": None, "spectrum": "magnitude", "log": "ln"}
    return spec.model_copy(update=plain)


def mel_db(samples: NDArray[np.float32], spec: MelSpec) -> NDArray[np.float32]:
    """The mel of a sound in dB.

    Args:
        samples: float32 [T] at `spec.sample_rate`; silence follows where it is too short for a frame.
        spec: From `picture_spec`.

    Returns:
        float32 [n_mels, frames].
    """
    import torch

    from workers.audio.mel import mel_spectrogram

    padded = np.pad(samples, (0, max(0, spec.min_samples - len(samples))))
    mel = mel_spectrogram(torch.from_numpy(padded)[None, None], spec)
    return np.asarray(mel[0, 0].numpy() * np.float32(_DB_PER_NEPER))


def mel_picture(mel: NDArray[np.float32], loudest: float) -> str:
    """A mel in dB as a `data:` URI; low notes are at the bottom, and `loudest` is the brightest colour."""
    return _png((mel - (loudest - RANGE_DB)) / RANGE_DB, "magma")


def difference_picture(mel: NDArray[np.float32], original: NDArray[np.float32]) -> str:
    """What was added (red) to a mel and what is missing (blue), both in dB; dark where nothing is."""
    frames = min(mel.shape[1], original.shape[1])
    return _png(0.5 + (mel[:, :frames] - original[:, :frames]) / (2 * DIFFERENCE_DB), "berlin")


def tensor_picture(tensor: NDArray[np.float32], channel_axis: int, fraction: float = 1.0) -> str:
    """A stored mel or latent as a picture: time goes right, channels and bands are stacked upwards.

    Each channel of a latent has a range of colours of its own, since their means lie far apart.

    Args:
        tensor: Finite, `[..., channel, frame]` or `[..., channel, frame, band]`.
        channel_axis: Negative.
        fraction: Of the frames, from the first on, that are shown.
    """
    panels = tensor.reshape(-1, *tensor.shape[channel_axis:])[0]  # of several audio channels the first
    panels = panels[:, : max(1, math.ceil(panels.shape[1] * fraction))]
    if panels.ndim == 2:
        low, high = np.quantile(panels, [0.01, 0.995])
        return _png((panels - low) / max(float(high - low), 1e-6), "magma")
    low, high = np.quantile(panels.reshape(len(panels), -1), [0.01, 0.99], axis=1)[:, :, None, None]
    spread = (panels.reshape(*panels.shape[:2], -1) - low) / np.maximum(high - low, 1e-6)
    return _png(spread.transpose(0, 2, 1).reshape(-1, panels.shape[1]), "viridis")


def _png(values: NDArray[np.float32], colours: str) -> str:
    """Values [rows, columns] from 0 to 1 as a picture with the first row at the bottom."""
    from matplotlib import colormaps
    from PIL import Image

    shade = np.rint(np.clip(_narrowed(values), 0, 1) * 255).astype(np.uint8)
    picture = Image.fromarray(np.ascontiguousarray(shade[::-1]))
    palette = np.rint(colormaps[colours](np.arange(256))[:, :3] * 255).astype(np.uint8)
    picture = picture.convert("P")
    picture.putpalette(palette.tobytes())
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def _narrowed(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """At most MAX_COLUMNS columns, each the mean of neighbours."""
    step = -(-values.shape[1] // MAX_COLUMNS)
    if step <= 1:
        return values
    edges = np.arange(0, values.shape[1], step)
    sums = np.add.reduceat(values, edges, axis=1)
    return np.asarray(sums / np.diff(np.append(edges, values.shape[1])), np.float32)
