"""Waveforms to discrete codes."""

from collections.abc import Mapping

from torch import Tensor

from workers.codec_worker_spec import CodecWorkerSpec
from workers.device import repeatable_inference, resolve_device
from workers.microbatch import in_microbatches
from workers.models.codec import Codec
from workers.transfer import to_device
from workers.waveform_batch import check_waveform_batch


class CodecWorker:
    """Holds one codec on one device and encodes in microbatches of a fixed shape.

    A row has the same codes in whatever batch, position and company it comes, on a given device.

    Args:
        spec: Which codec.

    Raises:
        ValueError: The model cannot be loaded, or a GPU is asked for that is not there.
    """

    def __init__(self, spec: CodecWorkerSpec) -> None:
        self.spec = spec
        self.device = resolve_device(spec.device)
        self._codec = Codec(spec.model, self.device)

    def __call__(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Encode any number of rows.

        Args:
            batch: As `check_waveform_batch` describes it, C = `spec.channels`.

        Returns:
            `codes` int64 [n, codebooks, frames] on the CPU; [n, C, codebooks, frames] for C > 1. And `microbatch`
            int32 [n], the rows computed at once: fewer than the spec's where memory ran out.

        Raises:
            ValueError: The batch is malformed, or the codec does not take rows of this length.
            NoMemoryError: Not even one row fits into the device's memory.
        """
        check_waveform_batch(batch)
        waveform = batch["waveform"]
        (column,) = self.spec.outputs(waveform.shape[2], waveform.shape[1])
        with repeatable_inference():
            codes = in_microbatches(self._codes, waveform, size=self.spec.microbatch)
        return {column.name: codes.values[0].reshape(-1, *column.shape), "microbatch": codes.sizes}

    def _codes(self, waveform: Tensor) -> Tensor:
        """Codes of one microbatch [size, C, T], as the one column [1, size, C, codebooks, frames]."""
        signals = to_device(waveform, self.device).flatten(0, 1)  # each channel is a signal of its own
        codes = self._codec.codes(signals)
        return codes.view(1, *waveform.shape[:2], *codes.shape[1:])
