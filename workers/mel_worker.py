"""Waveforms to log-mel spectrograms."""

from collections.abc import Mapping

import torch
from torch import Tensor

from workers.audio.mel import mel_spectrogram
from workers.device import repeatable_inference, resolve_device
from workers.mel_worker_spec import MelWorkerSpec
from workers.microbatch import microbatches, padded_length
from workers.transfer import to_device, to_host
from workers.waveform_batch import check_waveform_batch


class MelWorker:
    """Computes mels in microbatches on one device.

    Args:
        spec: The front end and where it runs.

    Raises:
        ValueError: A GPU is asked for that is not there.
    """

    def __init__(self, spec: MelWorkerSpec) -> None:
        self.spec = spec
        self.device = resolve_device(spec.device)

    def __call__(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Compute the mels of any number of rows.

        Args:
            batch: As `check_waveform_batch` describes it.

        Returns:
            `mel` float32 [n, n_mels, frames] on the CPU; [n, C, n_mels, frames] for C > 1.

        Raises:
            ValueError: The batch is malformed or its rows are too short.
        """
        num_rows = check_waveform_batch(batch)
        size = self.spec.microbatch
        with repeatable_inference():
            _, channels, length = batch["waveform"].shape
            (column,) = self.spec.outputs(length, channels)
            out = torch.empty((padded_length(num_rows, size), *column.shape), device=self.device)
            num_samples = to_device(batch["num_samples"], self.device)
            pieces = zip(microbatches(batch["waveform"], size), microbatches(num_samples, size), strict=True)
            for rows, (piece, lengths) in zip(torch.split(out, size), pieces, strict=True):
                rows.copy_(mel_spectrogram(to_device(piece, self.device), self.spec.mel, lengths).view_as(rows))
            return {column.name: to_host(out)[:num_rows]}
