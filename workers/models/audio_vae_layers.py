"""The encoder and the decoder of the AudioVAE: residual convolutions over time, mel bands as channels."""

import math

from torch import Tensor, nn

from workers.models.audio_vae_spec import AudioVaeConfig


class Encoder(nn.Module):
    """Normalised log-mels [B, M, F] to moments [B, 2·L, S].

    Args:
        config: The architecture.
    """

    def __init__(self, config: AudioVaeConfig) -> None:
        super().__init__()
        widths = [config.base_channels * multiplier for multiplier in config.channel_multipliers]
        layers: list[nn.Module] = [nn.Conv1d(config.mel_channels, widths[0], 3, padding=1)]
        width = widths[0]
        for level, next_width in enumerate(widths):
            if level > 0:
                layers.append(nn.Conv1d(width, width, 4, stride=2, padding=1))  # F -> F / 2
            for _ in range(config.num_res_blocks):
                layers.append(_ResidualBlock(width, next_width))
                width = next_width
        layers += [_norm(width), nn.SiLU(), nn.Conv1d(width, 2 * config.latent_channels, 3, padding=1)]
        self.layers = nn.Sequential(*layers)

    def forward(self, mel: Tensor) -> Tensor:
        """Mean and log-variance, one after the other along the channels."""
        moments: Tensor = self.layers(mel)
        return moments


class Decoder(nn.Module):
    """Latents [B, L, S] to normalised log-mels [B, M, F]: the mirror image of the encoder.

    Args:
        config: The architecture.
    """

    def __init__(self, config: AudioVaeConfig) -> None:
        super().__init__()
        widths = [config.base_channels * multiplier for multiplier in reversed(config.channel_multipliers)]
        layers: list[nn.Module] = [nn.Conv1d(config.latent_channels, widths[0], 3, padding=1)]
        width = widths[0]
        for level, next_width in enumerate(widths):
            if level > 0:
                layers += [nn.Upsample(scale_factor=2, mode="nearest"), nn.Conv1d(width, width, 3, padding=1)]
            for _ in range(config.num_res_blocks):
                layers.append(_ResidualBlock(width, next_width))
                width = next_width
        layers += [_norm(width), nn.SiLU(), nn.Conv1d(width, config.mel_channels, 3, padding=1)]
        self.layers = nn.Sequential(*layers)

    def forward(self, latent: Tensor) -> Tensor:
        """The mel."""
        mel: Tensor = self.layers(latent)
        return mel


class _ResidualBlock(nn.Module):
    """Two pre-activated convolutions beside a shortcut (https://arxiv.org/abs/1603.05027)."""

    def __init__(self, in_width: int, out_width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            _norm(in_width),
            nn.SiLU(),
            nn.Conv1d(in_width, out_width, 3, padding=1),
            _norm(out_width),
            nn.SiLU(),
            nn.Conv1d(out_width, out_width, 3, padding=1),
        )
        self.shortcut = nn.Identity() if in_width == out_width else nn.Conv1d(in_width, out_width, 1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.shortcut(x) + self.layers(x)
        return y


def _norm(width: int) -> nn.GroupNorm:
    return nn.GroupNorm(math.gcd(8, width), width)
