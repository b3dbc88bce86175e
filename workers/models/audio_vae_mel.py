"""The AudioVAE's front end and its inverse: waveforms to log-mels, and log-mels to waveforms."""

import torch
from torch import Tensor

from workers.audio.griffin_lim import griffin_lim
from workers.audio.griffin_lim_spec import GriffinLimSpec
from workers.audio.inverse_mel import magnitude_from_mel
from workers.audio.mel import mel_spectrogram
from workers.audio.mel_spec import MelSpec
from workers.audio.stft_spec import StftSpec


def audio_vae_mel_spec(num_mels: int, sample_rate: int, hop_length: int, fft_size: int) -> MelSpec:
    """The preset `audiovae` with other framing; bands reach to 8 kHz or half the rate, whichever is lower.

    Raises:
        ValueError: The settings contradict each other.
    """
    return MelSpec(
        preset="audiovae",
        sample_rate=sample_rate,
        n_fft=fft_size,
        win_length=fft_size,
        hop_length=hop_length,
        n_mels=num_mels,
        f_max_hz=min(8_000.0, sample_rate / 2),
    )


def mel_of_waveform(waveform: Tensor, spec: MelSpec) -> Tensor:
    """Waveforms [..., T] to log-mels float32 [..., M, T // hop_length]."""
    mel = mel_spectrogram(waveform.reshape(-1, 1, waveform.shape[-1]), spec)
    return mel.view(*waveform.shape[:-1], *mel.shape[2:])


@torch.no_grad()
def waveform_of_mel(mel: Tensor, spec: MelSpec, num_iterations: int) -> Tensor:
    """Log-mels [..., M, F] to waveforms float32 [..., F * hop_length], with so many rounds of Griffin-Lim.

    Raises:
        ValueError: The mel has other bands.
    """
    if mel.ndim < 2 or mel.shape[-2] != spec.n_mels:
        raise ValueError(f"expected a mel [..., {spec.n_mels}, F], got shape {list(mel.shape)}")
    magnitude = magnitude_from_mel(mel.reshape(-1, *mel.shape[-2:]).float(), spec)
    waveform = griffin_lim(magnitude, StftSpec.of_mel(spec), GriffinLimSpec(num_iterations=num_iterations))
    return waveform.view(*mel.shape[:-2], waveform.shape[-1])
