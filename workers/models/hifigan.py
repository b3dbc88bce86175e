"""HiFi-GAN's generator (Kong et al. 2020, https://doi.org/10.48550/arXiv.2010.05646), from log-mels to sound.

Layers have the names of the authors' code (https://github.com/jik876/hifi-gan); weight norms are folded into weights.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from workers.models.hifigan_checkpoint import read_generator
from workers.models.hifigan_spec import HifiganConfig, HifiganSpec, parse_config
from workers.models.seeded_init import initialise

_SLOPE = 0.1
_LAST_SLOPE = 0.01  # the authors left torch's default before the last convolution


class HifiganGenerator(nn.Module):
    """Upsamples in stages, each followed by residual blocks of several kernel sizes, whose outputs are averaged.

    ```
    mel [B, n_mels, T] ─ conv_pre ─┬─ ups[i] ──┬─ resblocks[0] ─┬─ mean ─┬─ conv_post ─ tanh ─ [B, T * hop_length + …]
                                   │           ├─ resblocks[1] ─┤        │
                                   │           └─ …            ─┘        │
                                   └───────── for each stage i ──────────┘
    ```

    Args:
        config: Its sizes.
    """

    def __init__(self, config: HifiganConfig) -> None:
        super().__init__()
        self.n_mels = config.num_mels
        self.hop_length = config.hop_length
        """Samples per mel frame."""
        block = _PairedBlock if config.resblock == "1" else _SingleBlock
        self._blocks_per_stage = len(config.resblock_kernel_sizes)
        channels = config.upsample_initial_channel
        self.conv_pre = nn.Conv1d(self.n_mels, channels, 7, padding=3)
        self.ups = nn.ModuleList()
        self.resblocks = nn.ModuleList()
        for stage, (rate, size) in enumerate(zip(config.upsample_rates, config.upsample_kernel_sizes, strict=True)):
            before, after = channels // 2**stage, channels // 2 ** (stage + 1)
            self.ups.append(nn.ConvTranspose1d(before, after, size, rate, padding=(size - rate) // 2))
            for kernel_size, dilations in zip(config.resblock_kernel_sizes, config.dilations, strict=True):
                self.resblocks.append(block(after, kernel_size, dilations))
        self.conv_post = nn.Conv1d(channels // 2 ** len(self.ups), 1, 7, padding=3)

    def forward(self, mel: Tensor) -> Tensor:
        """Log-mels [B, n_mels, T] to sound [B, at least T * hop_length] within [-1, 1], in the type of the weights.

        Each stage whose kernel is longer than its rate by an odd number adds a sample.
        """
        hidden: Tensor = self.conv_pre(mel)
        for stage, upsample in enumerate(self.ups):
            hidden = upsample(functional.leaky_relu(hidden, _SLOPE))
            first = stage * self._blocks_per_stage
            total = self.resblocks[first](hidden)
            for block in self.resblocks[first + 1 : first + self._blocks_per_stage]:
                total = total + block(hidden)
            hidden = total / self._blocks_per_stage
        sound: Tensor = self.conv_post(functional.leaky_relu(hidden, _LAST_SLOPE))
        return torch.tanh(sound)[:, 0]


class _PairedBlock(nn.Module):
    """Kind 1: a dilated convolution and a plain one, and around each pair a residual connection."""

    def __init__(self, channels: int, kernel_size: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.convs1 = nn.ModuleList(_convolution(channels, kernel_size, dilation) for dilation in dilations)
        self.convs2 = nn.ModuleList(_convolution(channels, kernel_size, 1) for _ in dilations)

    def forward(self, hidden: Tensor) -> Tensor:
        for dilated, plain in zip(self.convs1, self.convs2, strict=True):
            change = dilated(functional.leaky_relu(hidden, _SLOPE))
            hidden = plain(functional.leaky_relu(change, _SLOPE)) + hidden
        return hidden


class _SingleBlock(nn.Module):
    """Kind 2: dilated convolutions, each with a residual connection."""

    def __init__(self, channels: int, kernel_size: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.convs = nn.ModuleList(_convolution(channels, kernel_size, dilation) for dilation in dilations)

    def forward(self, hidden: Tensor) -> Tensor:
        for dilated in self.convs:
            hidden = dilated(functional.leaky_relu(hidden, _SLOPE)) + hidden
        return hidden


def _convolution(channels: int, kernel_size: int, dilation: int) -> nn.Conv1d:
    """One that keeps the length."""
    return nn.Conv1d(channels, channels, kernel_size, dilation=dilation, padding=dilation * (kernel_size - 1) // 2)


def load_hifigan(spec: HifiganSpec) -> HifiganGenerator:
    """Build a generator with its weights, in float32, on the CPU.

    Raises:
        ValueError: Its files are missing, damaged, or do not fit their config; the message says what to do.
    """
    checkpoint = spec.checkpoint()
    config = spec.config() if checkpoint is None else parse_config(checkpoint.config, spec.weights)
    # Built without memory first: modules would draw their initial weights from torch's global generator.
    with torch.device("meta"):
        model = HifiganGenerator(config)
    if checkpoint is None:
        initialise(model.to_empty(device="cpu"), spec.seed)
    else:
        shapes = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
        model.load_state_dict(read_generator(checkpoint.files[0], shapes), assign=True)
    return model
