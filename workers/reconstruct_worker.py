"""Waveforms to mels, perhaps through a VAE, and back to waveforms."""

from collections.abc import Mapping
from math import nan

import torch
from torch import Tensor

from workers.audio.mel import mel_spectrogram, set_level
from workers.audio.mel_spec import MelSpec
from workers.device import repeatable_inference
from workers.metrics.pair import Pair
from workers.metrics.waveform import correlation, snr_db
from workers.microbatch import in_microbatches
from workers.reconstruct_worker_spec import ReconstructWorkerSpec
from workers.resynthesis import Resynthesis, seconds_column, sound_columns
from workers.transfer import to_device
from workers.waveform_batch import check_waveform_batch


class ReconstructWorker:
    """Reconstructs recordings in microbatches of a fixed shape, on one device.

    A row's sound has the same bits in whatever batch, position and company it comes, on a given device.

    Args:
        spec: Front end, models and methods.

    Raises:
        ValueError: A model cannot be loaded, or a GPU is asked for that is not there.
    """

    def __init__(self, spec: ReconstructWorkerSpec) -> None:
        self.spec = spec
        self._resynthesis = Resynthesis(spec)

    def __call__(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Reconstruct any number of rows.

        Args:
            batch: As `check_waveform_batch` describes it, C = `spec.channels`.

        Returns:
            The columns of `spec.outputs`: sounds float32 [n, C, T] on the CPU, numbers float64 [n], NaN where they are
            undefined. And `microbatch` int32 [n], the rows computed at once: fewer than the spec's where memory ran
            out.

        Raises:
            ValueError: The batch is malformed, or the model does not take rows of this length.
            NoMemoryError: Not even one row fits into the device's memory.
        """
        check_waveform_batch(batch)
        waveform, num_samples = batch["waveform"], batch["num_samples"]
        self._resynthesis.restart_clock()
        with repeatable_inference():
            made = in_microbatches(self._sounds, waveform, num_samples, batch["seed"], size=self.spec.microbatch)
        columns = {"microbatch": made.sizes, **sound_columns("original", waveform)}
        inside = torch.arange(waveform.shape[2]) < num_samples[:, None, None]
        for method, sounds in zip(self.spec.methods, made.values * inside, strict=True):
            columns |= sound_columns(method, sounds)
            numbers = _numbers(waveform, sounds, num_samples, self.spec.sample_rate)
            columns[f"{method}_snr_db"], columns[f"{method}_correlation"] = numbers
            columns[f"{method}_seconds"] = seconds_column(self._resynthesis.seconds[method], len(waveform))
        return columns

    def _sounds(self, waveform: Tensor, num_samples: Tensor, seeds: Tensor) -> Tensor:
        """One microbatch [size, C, T] by all methods, float32 [methods, size, C, T]."""
        device, mel = self._resynthesis.device, self.spec.mel
        signal, lengths = to_device(waveform, device), to_device(num_samples, device)
        gain = None if mel is None else _gain(signal, mel, lengths)
        if mel is not None:
            signal = mel_spectrogram(signal, mel, lengths).flatten(0, 1)  # each channel is a signal of its own
        signal = self._resynthesis.through_vae(signal, seeds)
        _, channels, samples = waveform.shape
        sounds = self._resynthesis.sounds(signal, seeds, channels=channels, num_samples=samples)
        return sounds if gain is None else sounds / gain


def _gain(waveform: Tensor, mel: MelSpec, lengths: Tensor) -> Tensor:
    """By how much the front end raised each clip of a microbatch, float32 [size, 1, 1]; 1 for a silent one."""
    wide = waveform.double()
    before = set_level(wide, mel.model_copy(update={"peak": None, "loudness_lufs": None}), lengths)
    after = set_level(wide, mel, lengths)
    peaks = [clips.abs().amax(dim=(1, 2), keepdim=True) for clips in (after, before)]
    return torch.where(peaks[1] > 0, peaks[0] / peaks[1], 1.0).float()


def _numbers(original: Tensor, sounds: Tensor, num_samples: Tensor, sample_rate: int) -> Tensor:
    """SNR and correlation of each unit without its padding, channels averaged: float64 [2, n], NaN where undefined."""
    values = torch.full((2, len(sounds)), nan, dtype=torch.float64)
    for row, length in enumerate(num_samples.tolist()):
        pair = Pair.of(
            original[row, :, :length].numpy(),
            sounds[row, :, :length].numpy(),
            reference_rate_hz=sample_rate,
            degraded_rate_hz=sample_rate,
            hop_length=0,
        )
        for column, score in enumerate((snr_db(pair), correlation(pair))):
            if score.value is not None:
                values[column, row] = score.value
    return values
