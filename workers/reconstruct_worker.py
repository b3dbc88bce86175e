"""Waveforms to mels, perhaps through a VAE, and back to waveforms."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import nan
from time import perf_counter

import torch
from torch import Tensor

from workers.audio.griffin_lim import griffin_lim
from workers.audio.inverse_mel import magnitude_from_mel
from workers.audio.mel import mel_spectrogram, set_level
from workers.audio.stft_spec import StftSpec
from workers.device import repeatable_inference, resolve_device
from workers.metrics.pair import Pair
from workers.metrics.waveform import correlation, snr_db
from workers.microbatch import in_microbatches
from workers.models.load_vae import load_vae
from workers.models.posterior import posterior_sample
from workers.models.vocoder import Vocoder
from workers.reconstruct_worker_spec import NEED_VOCODER, Method, ReconstructWorkerSpec
from workers.transfer import to_device
from workers.waveform_batch import check_waveform_batch


class ReconstructWorker:
    """Holds a VAE and a vocoder on one device and reconstructs in microbatches of a fixed shape.

    A row's sound has the same bits in whatever batch, position and company it comes, on a given device.

    Args:
        spec: Front end, models and methods.

    Raises:
        ValueError: A model cannot be loaded, or a GPU is asked for that is not there.
    """

    def __init__(self, spec: ReconstructWorkerSpec) -> None:
        self.spec = spec
        self.device = resolve_device(spec.device)
        self.vae = load_vae(spec.model, device=self.device, precision=spec.precision) if spec.model else None
        self.vocoder: Vocoder | None = None
        if spec.vocoder and NEED_VOCODER & set(spec.methods):
            self.vocoder = Vocoder(spec.vocoder).to(self.device, getattr(torch, spec.precision))
        self._stft = StftSpec.of_mel(spec.mel)
        self._seconds = dict.fromkeys(spec.methods, 0.0)

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
        self._seconds = dict.fromkeys(self.spec.methods, 0.0)
        with repeatable_inference():
            made = in_microbatches(self._sounds, waveform, num_samples, batch["seed"], size=self.spec.microbatch)
        columns = {"microbatch": made.sizes, **_quietened("original", waveform)}
        inside = torch.arange(waveform.shape[2]) < num_samples[:, None, None]
        for method, sounds in zip(self.spec.methods, made.values * inside, strict=True):
            columns |= _quietened(method, sounds)
            numbers = _numbers(waveform, sounds, num_samples, self.spec.mel.sample_rate)
            columns[f"{method}_snr_db"], columns[f"{method}_correlation"] = numbers
            seconds = self._seconds[method] / len(waveform)
            columns[f"{method}_seconds"] = torch.full((len(waveform),), seconds, dtype=torch.float64)
        return columns

    def _sounds(self, waveform: Tensor, num_samples: Tensor, seeds: Tensor) -> Tensor:
        """One microbatch [size, C, T] by all methods, float32 [methods, size, C, T]."""
        waveform, lengths = to_device(waveform, self.device), to_device(num_samples, self.device)
        mel = mel_spectrogram(waveform, self.spec.mel, lengths).flatten(0, 1)  # each channel is a signal of its own
        if self.vae is not None:
            mean, logvar = self.vae.encode_with_distribution(mel)
            latent = posterior_sample(mean, logvar, seeds) if self.spec.latent == "sample" else mean
            mel = self.vae.decode(latent)
        channels = torch.arange(waveform.shape[1])
        row_seeds = (seeds[:, None] + channels).flatten()
        sounds = torch.stack([self._sound(method, mel, row_seeds, waveform.shape[-1]) for method in self.spec.methods])
        return sounds.view(-1, *waveform.shape) / self._gain(waveform, lengths)

    def _sound(self, method: Method, mel: Tensor, seeds: Tensor, num_samples: int) -> Tensor:
        """Mels [rows, n_mels, frames] to waveforms float32 [rows, T] by one method."""
        with self._timed(method):
            spoken = None
            if self.vocoder is not None and method in NEED_VOCODER:
                spoken = torch.nn.functional.pad(self.vocoder(mel), (0, num_samples))[:, :num_samples]
                if method == "vocoder":
                    return spoken
            return griffin_lim(
                magnitude_from_mel(mel, self.spec.mel),
                self._stft,
                self.spec.griffin_lim,
                num_samples=num_samples,
                seeds=[seed % 2**64 for seed in seeds.tolist()] if spoken is None else None,
                start_waveform=spoken,
            )

    def _gain(self, waveform: Tensor, lengths: Tensor) -> Tensor:
        """By how much the front end raised each clip of a microbatch, float32 [size, 1, 1]; 1 for a silent one."""
        wide = waveform.double()
        before = set_level(wide, self.spec.mel.model_copy(update={"peak": None, "loudness_lufs": None}), lengths)
        after = set_level(wide, self.spec.mel, lengths)
        peaks = [clips.abs().amax(dim=(1, 2), keepdim=True) for clips in (after, before)]
        return torch.where(peaks[1] > 0, peaks[0] / peaks[1], 1.0).float()

    @contextmanager
    def _timed(self, method: Method) -> Iterator[None]:
        began = self._now()
        yield
        self._seconds[method] += self._now() - began

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return perf_counter()


def _quietened(name: str, sounds: Tensor) -> dict[str, Tensor]:
    """Sounds float32 [n, C, T] whose peak is at most 1, and what it was: FLAC holds no more, and clipping clicks."""
    peak = sounds.abs().amax(dim=(1, 2))
    return {name: sounds / peak.clamp(min=1.0)[:, None, None], f"{name}_peak": peak.double()}


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
