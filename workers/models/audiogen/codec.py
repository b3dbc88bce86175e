"""Codes to waveforms and back.

A mono codec makes stereo of two clips, whose codebooks alternate (as in `audio_channels: 2` of MusicGen):

    codes [B, 8, T]    l0 r0 l1 r1 l2 r2 l3 r3    →    left [B, 4, T]  l0 l1 l2 l3    →    sound [B, 2, N]
                                                       right           r0 r1 r2 r3
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from workers.microbatch import microbatches
from workers.models.audiogen.encodec import Encodec
from workers.models.audiogen.shape import AudioGenShape
from workers.models.pieces import Pieces


class Codec:
    """A model's codec, in float32.

    On a CPU each row is computed by itself and by one thread, elsewhere in microbatches of one size: a row's bits
    depend neither on its neighbours nor on the number of threads.

    Args:
        shape: Of the whole model.
        state: By the names of transformers' `EncodecModel`, weight norm folded.
        rows_at_once: Rows in a microbatch, off the CPU.

    Raises:
        ValueError: The tensors do not have the shape.
    """

    def __init__(self, shape: AudioGenShape, state: Mapping[str, Tensor], *, rows_at_once: int = 1) -> None:
        self.shape = shape
        self.model = Encodec(shape.codec)
        self.model.load(state)
        self.model.eval().requires_grad_(False)
        self._sides = 2 if shape.stereo_from_mono else 1
        self._pieces = Pieces(1)
        self._rows_at_once = rows_at_once

    def to(self, device: torch.device) -> "Codec":
        """Move the weights."""
        nn.Module.to(self.model, device=device)
        return self

    @torch.inference_mode()
    def decode(self, codes: Tensor) -> Tensor:
        """Turn codes into sound.

        Args:
            codes: int64 [B, K, T], B and T >= 1, each below the codebook size, K as in the language model; on the
                model's device.

        Returns:
            float32 [B, C, T * hop_length]; what the network gives, which may go beyond [-1, 1].

        Raises:
            ValueError: The codes have another shape, or values that no codebook has.
        """
        num_codebooks, card = self.shape.lm.num_codebooks, self.shape.codec.codebook_size
        if codes.ndim != 3 or codes.shape[1] != num_codebooks or not codes.numel():
            raise ValueError(f"expected codes [B, {num_codebooks}, T] with B, T >= 1, got shape {list(codes.shape)}")
        lowest, highest = (int(value) for value in codes.aminmax())
        if lowest < 0 or highest >= card:
            raise ValueError(
                f"expected codes from 0 to {card - 1}, got {lowest} to {highest}: special tokens have no sound"
            )
        batch, _, frames = codes.shape
        # [B, K, T] → [B, K / sides, sides, T] → [B sides, K / sides, T]
        clips = codes.reshape(batch, -1, self._sides, frames).transpose(1, 2).reshape(batch * self._sides, -1, frames)
        return self._map(self._waveform, clips).reshape(batch, self.shape.channels, -1)

    @torch.inference_mode()
    def encode(self, waveform: Tensor) -> Tensor:
        """Turn sound into codes, to go on from.

        Args:
            waveform: Floating [B, C, N], B and N >= 1, at the shape's rate and with its channels; on the model's
                device.

        Returns:
            int64 [B, K, ceil(N / hop_length)], K as in the language model.

        Raises:
            ValueError: The waveform has another shape, or the codec cannot do without a clip's volume.
        """
        channels = self.shape.channels
        if waveform.ndim != 3 or waveform.shape[1] != channels or not waveform.numel():
            raise ValueError(f"expected a waveform [B, {channels}, N] with B, N >= 1, got shape {list(waveform.shape)}")
        if self.shape.codec.renormalize:
            raise ValueError(
                "this codec divides a clip by its volume (encodec.renormalize), which codes do not keep: it cannot "
                "turn sound into a prompt"
            )
        batch, _, samples = waveform.shape
        clips = waveform.float().reshape(batch * self._sides, -1, samples)
        codes = self._map(self._codes, clips)
        # [B sides, K / sides, T] → [B, sides, K / sides, T] → [B, K, T]
        return codes.reshape(batch, self._sides, -1, codes.shape[2]).transpose(1, 2).reshape(batch, -1, codes.shape[2])

    def _waveform(self, codes: Tensor) -> Tensor:
        waveform: Tensor = self.model.decoder(self.model.latent(codes))
        return waveform

    def _codes(self, waveform: Tensor) -> Tensor:
        return self.model.quantize(self.model.encoder(waveform), self.shape.lm.num_codebooks // self._sides)

    def _map(self, compute: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
        if rows.device.type == "cpu":
            return self._pieces.map(compute, rows)
        return torch.cat([compute(piece) for piece in microbatches(rows, self._rows_at_once)])[: len(rows)]
