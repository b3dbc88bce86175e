"""Neural audio codecs: waveforms to discrete codes."""

from typing import Any

import torch
from torch import Tensor

from workers.models.codec_spec import CodecSpec
from workers.models.load_pretrained import found_checkpoint, load_pretrained
from workers.models.pieces import Pieces


class Codec:
    """The encoder and the quantiser of a codec, in float32.

    On a CPU codes depend neither on the number of threads nor on neighbours: each row is computed by one thread.

    Args:
        spec: Which model.
        device: Where to compute.

    Raises:
        ValueError: The files are missing, of another class, or do not fit their config.
    """

    def __init__(self, spec: CodecSpec, device: torch.device) -> None:
        import transformers

        model_class: Any = getattr(transformers, spec.class_name)
        self._model = load_pretrained(model_class, found_checkpoint(spec.checkpoint())).to(device)
        self._spec, self._num_codebooks = spec, spec.num_kept
        if spec.kind == "encodec":  # which counts its codebooks in kilobits a second
            self._model.quantizer.layers = self._model.quantizer.layers[: self._num_codebooks]
        self._rows = Pieces(1)

    def codes(self, waveform: Tensor) -> Tensor:
        """Encode.

        Args:
            waveform: float32 [B, T], T a multiple of the hop.

        Returns:
            int64 [B, codebooks, T / hop], the coarsest codebook first.

        Raises:
            ValueError: The waveform has another shape.
        """
        if waveform.ndim != 2:
            raise ValueError(f"expected waveforms [B, T], got shape {list(waveform.shape)}")
        self._spec.codes_shape(waveform.shape[1])
        return self._rows.map(self._codes, waveform) if waveform.device.type == "cpu" else self._codes(waveform)

    def _codes(self, waveform: Tensor) -> Tensor:
        signal = waveform.unsqueeze(1)
        match self._spec.kind:
            case "encodec":
                codes = self._model.quantizer.encode(self._model.encoder(signal)).transpose(0, 1)
            case "dac":
                codes = self._model.encode(signal, n_quantizers=self._num_codebooks).audio_codes
            case _:
                codes = self._model.encode(signal, num_quantizers=self._num_codebooks).audio_codes
        kept: Tensor = codes[:, : self._num_codebooks]
        return kept
