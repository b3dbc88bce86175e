"""Mels and latents to waveforms, by one method or several side by side."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter

import torch
from torch import Tensor

from workers.audio.griffin_lim import griffin_lim
from workers.audio.inverse_mel import magnitude_from_mel
from workers.audio.stft_spec import StftSpec
from workers.device import resolve_device
from workers.models.load_vae import load_vae
from workers.models.posterior import posterior_sample
from workers.models.vocoder import Vocoder
from workers.reconstruct_worker_spec import NEED_VOCODER, Method, ReconstructWorkerSpec


class Resynthesis:
    """Holds a VAE and a vocoder on one device; a signal is a mel, or the waveform of all channels for a VAE of those.

    Args:
        spec: Models and methods.

    Raises:
        ValueError: A model cannot be loaded, or a GPU is asked for that is not there.
    """

    def __init__(self, spec: ReconstructWorkerSpec) -> None:
        self.spec = spec
        self.device = resolve_device(spec.device)
        self._vae = load_vae(spec.model, device=self.device, precision=spec.precision) if spec.model else None
        self._vocoder: Vocoder | None = None
        if spec.vocoder and NEED_VOCODER & set(spec.methods):
            self._vocoder = Vocoder(spec.vocoder).to(self.device, getattr(torch, spec.precision))
        self._stft = None if spec.mel is None else StftSpec.of_mel(spec.mel)
        self.seconds = dict.fromkeys(spec.methods, 0.0)
        """Time that each method took so far, from the signal on; of `decode`, that of the VAE's decoder."""

    def restart_clock(self) -> None:
        """Set the times to 0."""
        self.seconds = dict.fromkeys(self.spec.methods, 0.0)

    def through_vae(self, signal: Tensor, seeds: Tensor) -> Tensor:
        """Signals as the VAE gives them back, or as they are where there is none.

        Args:
            signal: [rows, ...], the channels of a unit side by side.
            seeds: int64 [units] on the CPU.
        """
        if self._vae is None:
            return signal
        return self.decoded(self._vae.encode_with_distribution(signal), seeds)

    def decoded(self, moments: Sequence[Tensor], seeds: Tensor) -> Tensor:
        """Latents to signals.

        Args:
            moments: Mean and log-variance, or the latents alone: [rows, ...] each, not scaled.
            seeds: int64 [units] on the CPU.
        """
        assert self._vae is not None
        latent = posterior_sample(moments[0], moments[1], seeds) if self.spec.draws else moments[0]
        with self._timed("decode"):
            return self._vae.decode(latent)

    def sounds(self, signal: Tensor, seeds: Tensor, *, channels: int, num_samples: int) -> Tensor:
        """Signals to sounds by all methods.

        Args:
            signal: [rows, ...], the channels of a unit side by side.
            seeds: int64 [units] on the CPU.
            channels: Of a unit.
            num_samples: That the sounds get, T.

        Returns:
            float32 [methods, units, channels, T].
        """
        row_seeds = (seeds[:, None] + torch.arange(channels)).flatten()
        sounds = [self._sound(method, signal, row_seeds, num_samples) for method in self.spec.methods]
        return torch.stack(sounds).view(len(sounds), len(seeds), channels, num_samples)

    def _sound(self, method: Method, signal: Tensor, seeds: Tensor, num_samples: int) -> Tensor:
        """Signals [rows, ...] to waveforms float32 [rows, T] by one method."""
        if method == "decode":
            return signal.reshape(len(seeds), num_samples)
        assert self.spec.mel is not None
        assert self._stft is not None
        with self._timed(method):
            spoken = None
            if self._vocoder is not None and method in NEED_VOCODER:
                spoken = torch.nn.functional.pad(self._vocoder(signal), (0, num_samples))[:, :num_samples]
                if method == "vocoder":
                    return spoken
            return griffin_lim(
                magnitude_from_mel(signal, self.spec.mel),
                self._stft,
                self.spec.griffin_lim,
                num_samples=num_samples,
                seeds=[seed % 2**64 for seed in seeds.tolist()] if spoken is None else None,
                start_waveform=spoken,
            )

    @contextmanager
    def _timed(self, method: Method) -> Iterator[None]:
        began = self._now()
        yield
        if method in self.seconds:
            self.seconds[method] += self._now() - began

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return perf_counter()


def sound_columns(name: str, sounds: Tensor) -> dict[str, Tensor]:
    """Sounds float32 [n, C, T] whose peak is at most 1, and what it was: FLAC holds no more, and clipping clicks."""
    peak = sounds.abs().amax(dim=(1, 2))
    return {name: sounds / peak.clamp(min=1.0)[:, None, None], f"{name}_peak": peak.double()}


def seconds_column(seconds: float, num_rows: int) -> Tensor:
    """What a row took where all took so long together, float64 [n]."""
    return torch.full((num_rows,), seconds / num_rows, dtype=torch.float64)
