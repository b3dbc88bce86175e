"""The batch that waveform workers take."""

from collections.abc import Mapping

from torch import Tensor

WAVEFORM_COLUMNS = ("waveform", "num_samples", "seed")


def check_waveform_batch(batch: Mapping[str, Tensor]) -> int:
    """Check a batch and give its number of rows n.

    Args:
        batch: `waveform` float32 [n, C, T], zero after each row's true length; `num_samples` int64 [n], the true
            lengths; `seed` uint64 or int64 [n].

    Raises:
        ValueError: A column is missing, or a shape is wrong.
    """
    missing = [name for name in WAVEFORM_COLUMNS if name not in batch]
    if missing:
        raise ValueError(f"the batch lacks {', '.join(missing)}; it has {', '.join(sorted(batch))}")
    waveform = batch["waveform"]
    if waveform.ndim != 3 or len(waveform) == 0:
        raise ValueError(f"expected a waveform [n, C, T] with n >= 1, got shape {list(waveform.shape)}")
    for name in WAVEFORM_COLUMNS[1:]:
        if batch[name].shape != (len(waveform),):
            raise ValueError(f"expected {name} of shape [{len(waveform)}], got {list(batch[name].shape)}")
    return len(waveform)
