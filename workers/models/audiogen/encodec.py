"""EnCodec's networks, built from transformers' modules, and the state that they take."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from workers.models.audiogen.shape import EncodecShape


class Encodec(nn.Module):
    """Encoder, codebooks and decoder of EnCodec (https://doi.org/10.48550/arXiv.2210.13438).

    Its names of tensors are those of transformers' `EncodecModel`, whose modules it is made of. That class itself takes
    no codebooks but of a power of two codes, counts them from bandwidths, and always has an LSTM.

    Args:
        shape: What to build. Weights are not set.
    """

    def __init__(self, shape: EncodecShape) -> None:
        from transformers.models.encodec import modeling_encodec as modules

        super().__init__()
        config = _config(shape)
        with torch.random.fork_rng(devices=[]):  # modules draw their initial weights from torch's global generator
            self.encoder: Any = modules.EncodecEncoder(config)
            self.decoder: Any = modules.EncodecDecoder(config)
        self.quantizer = nn.Module()
        self.quantizer.layers = nn.ModuleList(modules.EncodecVectorQuantization(config) for _ in range(shape.n_q))
        for module in self.modules():
            if parametrize.is_parametrized(module, "weight"):
                parametrize.remove_parametrizations(module, "weight")
            if isinstance(module, modules.EncodecEuclideanCodebook):
                for name in ("inited", "cluster_size", "embed_avg"):  # for training
                    delattr(module, name)
        if shape.num_lstm_layers == 0:
            for network in (self.encoder, self.decoder):
                network.layers = nn.ModuleList(
                    layer for layer in network.layers if not isinstance(layer, modules.EncodecLSTM)
                )

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take weights over.

        Raises:
            ValueError: A tensor is missing, there is one too many, or one has another shape.
        """
        own = self.state_dict()
        for said, names in (("has no", own.keys() - state.keys()), ("has a surplus", state.keys() - own.keys())):
            if names:
                raise ValueError(
                    f"the codec's weights do not fit its settings: it {said} {', '.join(sorted(names)[:3])}"
                )
        for name, tensor in own.items():
            if state[name].shape != tensor.shape:
                raise ValueError(
                    f"the codec's weights do not fit its settings: {name} is {list(state[name].shape)}, expected "
                    f"{list(tensor.shape)}"
                )
        self.load_state_dict(dict(state))

    def latent(self, codes: Tensor) -> Tensor:
        """Sum the entries of the first n codebooks: int64 [B, n, T] to float32 [B, dimension, T]."""
        latent = torch.zeros((), device=codes.device)
        for layer, row in zip(self._codebooks(codes.shape[1]), codes.unbind(1), strict=True):
            latent = latent + layer.decode(row)
        return latent

    def quantize(self, latent: Tensor, num_codebooks: int) -> Tensor:
        """The nearest entry of each codebook to what those before it leave over.

        Args:
            latent: [B, dimension, T].
            num_codebooks: How many to use.

        Returns:
            int64 [B, num_codebooks, T].
        """
        codes = []
        for layer in self._codebooks(num_codebooks):
            codes.append(layer.encode(latent))
            latent = latent - layer.decode(codes[-1])
        return torch.stack(codes, dim=1)

    def _codebooks(self, count: int) -> list[Any]:
        layers: Any = self.quantizer.layers
        return list(layers[:count])


def _config(shape: EncodecShape) -> Any:
    import transformers

    return transformers.EncodecConfig(
        sampling_rate=shape.sample_rate,
        audio_channels=shape.channels,
        upsampling_ratios=list(shape.ratios),
        hidden_size=shape.dimension,
        codebook_dim=shape.dimension,
        num_filters=shape.n_filters,
        num_residual_layers=shape.n_residual_layers,
        kernel_size=shape.kernel_size,
        residual_kernel_size=shape.residual_kernel_size,
        last_kernel_size=shape.last_kernel_size,
        dilation_growth_rate=shape.dilation_base,
        compress=shape.compress,
        num_lstm_layers=max(shape.num_lstm_layers, 1),
        use_causal_conv=shape.causal,
        pad_mode=shape.pad_mode,
        use_conv_shortcut=not shape.true_skip,
        norm_type="time_group_norm" if shape.norm == "time_group_norm" else "weight_norm",
        trim_right_ratio=shape.trim_right_ratio,
        codebook_size=shape.codebook_size,
    )
