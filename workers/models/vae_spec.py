"""Which VAE encodes: one settings model per kind, and how its latents lie over a recording."""

from typing import Annotated

from pydantic import Field

from workers.audio.mel_spec import MelSpec
from workers.models.audio_vae_spec import AudioVaeSpec
from workers.models.diffusers_vae_spec import DiffusersVaeSpec
from workers.models.oobleck_spec import OobleckSpec

MelVaeSpec = AudioVaeSpec | DiffusersVaeSpec
"""VAEs of mels: each channel is a signal of its own."""

WaveformVaeSpec = OobleckSpec
"""VAEs of waveforms: they take all channels at once, and need no front end."""

VaeSpec = Annotated[MelVaeSpec | WaveformVaeSpec, Field(discriminator="kind")]
"""The one place that knows which kinds of VAEs there are."""


def step_samples(model: VaeSpec, mel: MelSpec | None) -> int:
    """Samples per latent step.

    Args:
        model: Its config is read.
        mel: The front end; None where the model takes waveforms.

    Raises:
        ValueError: The config cannot be read.
    """
    if isinstance(model, WaveformVaeSpec):
        return model.hop_length
    return _front_end(mel).hop_length * model.time_downsample_factor


def latent_shape(model: VaeSpec, mel: MelSpec | None, num_samples: int) -> tuple[int, ...]:
    """Shape of the latent of one signal: a channel of `num_samples`, or all of them where the model takes waveforms.

    Raises:
        ValueError: The model does not take such a signal, or its config cannot be read.
    """
    if isinstance(model, WaveformVaeSpec):
        return model.latent_shape(num_samples)
    mel = _front_end(mel)
    return model.latent_shape(mel.n_mels, mel.num_frames(num_samples))


def unit_latent_shape(model: VaeSpec, mel: MelSpec | None, num_samples: int, channels: int) -> tuple[int, ...]:
    """As `latent_shape`, of a unit: its channels come first where there are several signals.

    Raises:
        ValueError: As `latent_shape`; or the model takes another number of channels.
    """
    shape = latent_shape(model, mel, num_samples)
    if isinstance(model, WaveformVaeSpec):
        if channels != model.audio_channels:
            raise ValueError(f"this VAE takes waveforms of {model.audio_channels} channels, a unit has {channels}")
        return shape
    return shape if channels == 1 else (channels, *shape)


def check_front_end(model: VaeSpec | None, mel: MelSpec | None) -> None:
    """Refuse a front end where there is none to be, and none where one is needed.

    Raises:
        ValueError: The model takes waveforms and there is a mel, or the other way round.
    """
    if isinstance(model, WaveformVaeSpec):
        if mel is not None:
            raise ValueError(f"model.kind {model.kind} takes waveforms, and there is a mel: leave mel out")
    elif mel is None:
        raise ValueError("mel is null, and what the model takes is a mel: leave mel out, or set it")


def _front_end(mel: MelSpec | None) -> MelSpec:
    if mel is None:
        raise ValueError("this VAE takes mels, and mel is null: set mel, or choose a VAE of waveforms")
    return mel
