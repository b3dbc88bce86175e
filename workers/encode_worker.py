"""Waveforms to VAE latents."""

from collections.abc import Mapping

import torch
from torch import Tensor

from workers.audio.mel import mel_spectrogram
from workers.device import repeatable_inference, resolve_device
from workers.encode_worker_spec import EncodeWorkerSpec
from workers.microbatch import in_microbatches
from workers.models.load_vae import load_vae
from workers.models.posterior import posterior_sample
from workers.transfer import to_device
from workers.waveform_batch import check_waveform_batch


class EncodeWorker:
    """Holds one VAE on one device and encodes in microbatches of a fixed shape.

    A row's latent has the same bits in whatever batch, position and company it comes, on a given device.

    Args:
        spec: Front end, model, and what to keep of the posterior.

    Raises:
        ValueError: The model cannot be loaded, or a GPU is asked for that is not there.
    """

    def __init__(self, spec: EncodeWorkerSpec) -> None:
        self.spec = spec
        self.device = resolve_device(spec.device)
        self.vae = load_vae(spec.model, device=self.device, precision=spec.precision)

    def __call__(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Encode any number of rows.

        Args:
            batch: As `check_waveform_batch` describes it, C = `spec.channels`.

        Returns:
            The columns of `spec.outputs`, float32 [n, *shape] on the CPU, not scaled. And `microbatch` int32 [n], the
            rows computed at once: fewer than the spec's where memory ran out.

        Raises:
            ValueError: The batch is malformed, or the model does not take rows of this length.
            NoMemoryError: Not even one row fits into the device's memory.
        """
        check_waveform_batch(batch)
        waveform = batch["waveform"]
        columns = self.spec.outputs(waveform.shape[2], waveform.shape[1])
        with repeatable_inference():
            latents = in_microbatches(
                self._latents, waveform, batch["num_samples"], batch["seed"], size=self.spec.microbatch
            )
        named = zip(columns, latents.values, strict=True)
        return {column.name: rows.reshape(-1, *column.shape) for column, rows in named} | {"microbatch": latents.sizes}

    def _latents(self, waveform: Tensor, num_samples: Tensor, seeds: Tensor) -> Tensor:
        """The columns of one microbatch [size, C, T], as [columns, size, values]."""
        signal = to_device(waveform, self.device)
        if self.spec.mel is not None:  # each channel is a signal of its own
            signal = mel_spectrogram(signal, self.spec.mel, to_device(num_samples, self.device)).flatten(0, 1)
        mean, logvar = self.vae.encode_with_distribution(signal)
        if self.spec.latent == "sample":
            mean = posterior_sample(mean, logvar, seeds)
        columns = [mean, logvar] if self.spec.latent == "moments" else [mean]
        return torch.stack([column.contiguous() for column in columns]).view(len(columns), len(waveform), -1)
