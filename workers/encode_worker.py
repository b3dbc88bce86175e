"""Waveforms to VAE latents."""

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from workers.audio.mel import mel_spectrogram
from workers.device import repeatable_inference, resolve_device
from workers.encode_worker_spec import EncodeWorkerSpec
from workers.microbatch import microbatches, padded_length
from workers.models.vae import load_vae
from workers.noise import unit_noise
from workers.transfer import to_device, to_host
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
        self._outputs = lru_cache(maxsize=64)(spec.outputs)  # which reads the model's config
        self.vae = load_vae(spec.model, device=self.device, precision=spec.precision)

    def __call__(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Encode any number of rows.

        Args:
            batch: As `check_waveform_batch` describes it, C = `spec.channels`.

        Returns:
            The columns of `spec.outputs`, float32 [n, *shape] on the CPU, not scaled.

        Raises:
            ValueError: The batch is malformed, or the model does not take rows of this length.
        """
        num_rows = check_waveform_batch(batch)
        size = self.spec.microbatch
        with repeatable_inference():
            _, channels, length = batch["waveform"].shape
            columns = self._outputs(length, channels)
            num_samples = to_device(torch.cat([*microbatches(batch["num_samples"], size)]), self.device)
            shape = columns[0].shape
            # All columns in one buffer, so that a single copy brings them back.
            out = torch.empty((len(columns), padded_length(num_rows, size), *shape), device=self.device)
            noise = self._noise(batch["seed"], shape)
            # On a GPU the host runs ahead: it pins and sends the next microbatch while this one is computed.
            for index, piece in enumerate(microbatches(batch["waveform"], size)):
                rows = slice(index * size, (index + 1) * size)
                mean, logvar = self._moments(to_device(piece, self.device), num_samples[rows])
                if noise is not None:
                    mean = mean + (0.5 * logvar).exp() * noise[rows].view_as(mean)
                for target, values in zip(out[:, rows], (mean, logvar), strict=False):  # one column: no log-variance
                    target.copy_(values.view_as(target))
            host = to_host(out)
        return {column.name: host[i, :num_rows] for i, column in enumerate(columns)}

    def _moments(self, waveform: Tensor, num_samples: Tensor) -> tuple[Tensor, Tensor]:
        """Posterior of [size, C, T]: mean and log-variance [size * C, ...]; every channel is a signal of its own."""
        mel = mel_spectrogram(waveform, self.spec.mel, num_samples)
        return self.vae.encode_with_distribution(mel.flatten(0, 1))

    def _noise(self, seeds: Tensor, shape: tuple[int, ...]) -> Tensor | None:
        """Noise for every row [padded n, *shape], zero in the padding; None unless latents are sampled."""
        if self.spec.latent != "sample":
            return None
        noise = np.zeros((padded_length(len(seeds), self.spec.microbatch), *shape), dtype=np.float32)
        for row, seed in zip(noise, seeds.tolist(), strict=False):
            row[...] = unit_noise(seed, shape)
        return to_device(torch.from_numpy(noise), self.device)
