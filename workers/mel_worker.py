"""Waveforms to log-mel spectrograms."""

from collections.abc import Mapping

from torch import Tensor

from workers.audio.mel import mel_spectrogram
from workers.device import repeatable_inference, resolve_device
from workers.mel_worker_spec import MelWorkerSpec
from workers.microbatch import in_microbatches
from workers.transfer import to_device
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
            `mel` float32 [n, n_mels, frames] on the CPU; [n, C, n_mels, frames] for C > 1. And `microbatch`
            int32 [n], the rows computed at once: fewer than the spec's where memory ran out.

        Raises:
            ValueError: The batch is malformed or its rows are too short.
            NoMemoryError: Not even one row fits into the device's memory.
        """
        check_waveform_batch(batch)
        waveform, num_samples = batch["waveform"], batch["num_samples"]
        (column,) = self.spec.outputs(waveform.shape[2], waveform.shape[1])
        with repeatable_inference():
            mel = in_microbatches(self._mel, waveform, num_samples, size=self.spec.microbatch)
        return {column.name: mel.values[0].reshape(-1, *column.shape), "microbatch": mel.sizes}

    def _mel(self, waveform: Tensor, num_samples: Tensor) -> Tensor:
        """Mels of one microbatch [size, C, T], as the one column [1, size, C, n_mels, frames]."""
        lengths = to_device(num_samples, self.device)
        return mel_spectrogram(to_device(waveform, self.device), self.spec.mel, lengths).unsqueeze(0)
