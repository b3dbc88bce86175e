"""SEANet (https://doi.org/10.48550/arXiv.2009.02095) written out, from audiocraft's tensors."""

from math import ceil

import torch
from torch import Tensor
from torch.nn import functional

from tests.workers.models.audiogen.checkpoints import Codec, State


class PlainSeanet:
    """Encoder, quantiser and decoder; slow, and of nothing but functional calls."""

    def __init__(self, codec: Codec, state: State) -> None:
        self.codec, self.state = codec, state

    def decode(self, codes: Tensor) -> Tensor:
        """[B, n_q, T] to [B, channels, N]."""
        x = sum(
            self.state[f"quantizer.vq.layers.{k}._codebook.embed"][codes[:, k]].transpose(1, 2)
            for k in range(codes.shape[1])
        )
        return self._run("decoder", x)

    def encode(self, waveform: Tensor, num_codebooks: int) -> Tensor:
        """[B, channels, N] to [B, num_codebooks, T]."""
        left, codes = self._run("encoder", waveform), []
        for k in range(num_codebooks):
            embed = self.state[f"quantizer.vq.layers.{k}._codebook.embed"]
            codes.append(
                torch.cdist(left.transpose(1, 2), embed, compute_mode="donot_use_mm_for_euclid_dist").argmin(-1)
            )
            left = left - embed[codes[-1]].transpose(1, 2)
        return torch.stack(codes, dim=1)

    def _run(self, network: str, x: Tensor) -> Tensor:
        places = sorted({int(name.split(".")[2]) for name in self.state if name.startswith(f"{network}.model.")})
        stage, inside = 0, 0  # of the strides, and of the residual blocks between two of them
        ratios = self.codec.ratios if network == "decoder" else self.codec.ratios[::-1]
        for place in places:
            name = f"{network}.model.{place}"
            ends = place in (0, places[-1])
            if f"{name}.lstm.weight_ih_l0" in self.state:
                x = self._lstm(f"{name}.lstm", x)
            elif f"{name}.convtr.convtr.bias" in self.state:
                x = self._transposed(f"{name}.convtr", functional.elu(x), ratios[stage])
                stage, inside = stage + 1, 0
            elif f"{name}.block.1.conv.conv.bias" in self.state:
                x = self._residual(name, x, self.codec.dilation_base**inside)
                inside += 1
            elif ends:
                x = self._convolution(f"{name}.conv", x if place == 0 else functional.elu(x))
            else:
                x = self._convolution(f"{name}.conv", functional.elu(x), stride=ratios[stage])
                stage, inside = stage + 1, 0
        return x

    def _weight(self, name: str) -> Tensor:
        if f"{name}.weight" in self.state:
            return self.state[f"{name}.weight"]
        gain, direction = self.state[f"{name}.weight_g"], self.state[f"{name}.weight_v"]
        return gain * direction / direction.square().sum(dim=(1, 2), keepdim=True).sqrt()

    def _normalised(self, name: str, x: Tensor) -> Tensor:
        if f"{name}.norm.weight" not in self.state:
            return x
        x = x - x.mean(dim=(1, 2), keepdim=True)
        x = x / (x.square().mean(dim=(1, 2), keepdim=True) + 1e-5).sqrt()
        return x * self.state[f"{name}.norm.weight"][:, None] + self.state[f"{name}.norm.bias"][:, None]

    def _convolution(self, name: str, x: Tensor, *, stride: int = 1, dilation: int = 1) -> Tensor:
        weight = self._weight(f"{name}.conv")
        reach = (weight.shape[2] - 1) * dilation + 1
        surplus = reach - stride
        frames = ceil((x.shape[2] - reach + surplus) / stride + 1)
        extra = (frames - 1) * stride + reach - surplus - x.shape[2]
        right = 0 if self.codec.causal else surplus // 2
        x = self._padded(x, surplus - right, right + extra)
        y = functional.conv1d(x, weight, self.state[f"{name}.conv.bias"], stride=stride, dilation=dilation)
        return self._normalised(name, y)

    def _padded(self, x: Tensor, left: int, right: int) -> Tensor:
        if self.codec.pad_mode != "reflect":
            return functional.pad(x, (left, right), self.codec.pad_mode)
        # Too short to be reflected: zeros on the right take part, and are cut off again.
        more = max(0, max(left, right) - x.shape[2] + 1)
        padded = functional.pad(functional.pad(x, (0, more)), (left, right), "reflect")
        return padded[..., : padded.shape[2] - more]

    def _transposed(self, name: str, x: Tensor, stride: int) -> Tensor:
        weight = self._weight(f"{name}.convtr")
        y = functional.conv_transpose1d(x, weight, self.state[f"{name}.convtr.bias"], stride=stride)
        y = self._normalised(name, y)
        surplus = weight.shape[2] - stride
        right = ceil(surplus * self.codec.trim_right_ratio) if self.codec.causal else surplus // 2
        return y[..., surplus - right : y.shape[2] - right]

    def _residual(self, name: str, x: Tensor, dilation: int) -> Tensor:
        inside = self._convolution(f"{name}.block.1.conv", functional.elu(x), dilation=dilation)
        inside = self._convolution(f"{name}.block.3.conv", functional.elu(inside))
        return inside + (x if self.codec.true_skip else self._convolution(f"{name}.shortcut.conv", x))

    def _lstm(self, name: str, x: Tensor) -> Tensor:
        sequence = x.permute(2, 0, 1)
        layer = 0
        while f"{name}.weight_ih_l{layer}" in self.state:
            w_in, w_own, b_in, b_own = (
                self.state[f"{name}.{kind}_l{layer}"] for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            )
            hidden = memory = sequence.new_zeros(sequence.shape[1:])
            outputs = []
            for step in sequence:
                gates = step @ w_in.T + b_in + hidden @ w_own.T + b_own
                take, keep, new, show = gates.chunk(4, dim=1)
                memory = keep.sigmoid() * memory + take.sigmoid() * new.tanh()
                hidden = show.sigmoid() * memory.tanh()
                outputs.append(hidden)
            sequence = torch.stack(outputs)
            layer += 1
        return x + sequence.permute(1, 2, 0)
