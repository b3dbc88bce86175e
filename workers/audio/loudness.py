"""Integrated loudness, ITU-R BS.1770-4 (https://www.itu.int/rec/R-REC-BS.1770)."""

import math

import torch
from torch import Tensor

_BLOCK_STEPS = 4  # a gating block is 400 ms, taken every 100 ms
_ABSOLUTE_GATE_LUFS = -70.0
_RELATIVE_GATE_LU = -10.0
_OFFSET_LUFS = -0.691
# The K filter's response falls below 1e-20 within this time (its slowest poles lie at 38 Hz).
_RESPONSE_SECONDS = 0.25


def integrated_loudness(waveform: Tensor, num_samples: Tensor, sample_rate: int) -> Tensor:
    """Gated loudness of each clip, every channel weighted 1 (BS.1770's surround weights need a layout).

    A clip shorter than one 400-ms block is measured as a single block of its own length.

    Args:
        waveform: float64 [B, C, T], zero from `num_samples` on.
        num_samples: int64 [B], true lengths in samples.
        sample_rate: Hz.

    Returns:
        float64 [B], LUFS; -inf where no block passes the absolute gate.
    """
    power = k_weighted(waveform, sample_rate).square_().sum(1)  # [B, T]
    step = round(0.1 * sample_rate)
    num_steps = waveform.shape[-1] // step
    # blocks:  |--100--|--100--|--100--|--100--|
    #                  |--100--|--100--|--100--|--100--|
    short = power.where(torch.arange(power.shape[-1], device=power.device) < num_samples.view(-1, 1), 0.0)
    whole = short.sum(-1) / num_samples.clamp(min=1)  # [B]
    num_blocks = max(num_steps - _BLOCK_STEPS + 1, 0)
    if num_blocks == 0:
        return _gate(_to_lufs(whole), whole.unsqueeze(1), torch.ones_like(whole, dtype=torch.bool).unsqueeze(1))
    steps = power[:, : num_steps * step].reshape(-1, num_steps, step).sum(-1)
    blocks = sum(steps[:, i : i + num_blocks] for i in range(_BLOCK_STEPS)) / (_BLOCK_STEPS * step)
    assert isinstance(blocks, Tensor)
    ends = (torch.arange(num_blocks, device=power.device) + _BLOCK_STEPS) * step
    inside = ends <= num_samples.view(-1, 1)
    # A short clip in a long batch has no whole block: its own length takes the place of the first.
    too_short = ~inside.any(1)
    blocks = torch.cat([torch.where(too_short, whole, blocks[:, 0]).unsqueeze(1), blocks[:, 1:]], 1)
    inside = torch.cat([(inside[:, 0] | too_short).unsqueeze(1), inside[:, 1:]], 1)
    return _gate(_to_lufs(blocks), blocks, inside)


def k_weighted(waveform: Tensor, sample_rate: int) -> Tensor:
    """Apply the K filter (head shelf, then high-pass), by multiplication in the frequency domain.

    Args:
        waveform: float64 [..., T].
        sample_rate: Hz.

    Returns:
        float64 [..., T].
    """
    num_samples = waveform.shape[-1]
    # Room for the response's tail keeps the circular convolution linear; a multiple of 4096 is quick to transform.
    length = -(-(num_samples + round(_RESPONSE_SECONDS * sample_rate)) // 4096) * 4096
    response = _k_response(length, sample_rate, waveform.device)
    filtered: Tensor = torch.fft.irfft(torch.fft.rfft(waveform, length) * response, length)
    return filtered[..., :num_samples].contiguous()


def _to_lufs(power: Tensor) -> Tensor:
    return _OFFSET_LUFS + 10.0 * torch.log10(power)


def _gate(block_lufs: Tensor, block_power: Tensor, inside: Tensor) -> Tensor:
    """Mean of the blocks above the absolute gate and within 10 LU of their own mean; all [B, blocks]."""
    block_lufs = block_lufs.view_as(block_power)
    audible = inside & (block_lufs > _ABSOLUTE_GATE_LUFS)
    ungated = _to_lufs(_mean_where(block_power, audible))
    loud = audible & (block_lufs > (ungated + _RELATIVE_GATE_LU).unsqueeze(1))
    return _to_lufs(_mean_where(block_power, loud))


def _mean_where(values: Tensor, chosen: Tensor) -> Tensor:
    return values.where(chosen, 0.0).sum(1) / chosen.sum(1).clamp(min=1)


def _k_response(length: int, sample_rate: int, device: torch.device) -> Tensor:
    """The filter at the bins of a real transform of `length`; complex128 [length // 2 + 1]."""
    z = torch.exp(-2j * math.pi * torch.arange(length // 2 + 1, device=device, dtype=torch.float64) / length)  # z^-1
    response = torch.ones_like(z)
    for numerator, denominator in (_head_shelf(sample_rate), _high_pass(sample_rate)):
        response *= (numerator[0] + z * (numerator[1] + z * numerator[2])) / (
            denominator[0] + z * (denominator[1] + z * denominator[2])
        )
    return response


_Biquad = tuple[tuple[float, float, float], tuple[float, float, float]]


# The standard gives both filters at 48 kHz; these analogue prototypes reproduce its coefficients there and carry over
# to other rates (Mansbridge, Finn, Reiss: https://www.aes.org/e-lib/browse.cfm?elib=16340; also used by libebur128).
def _head_shelf(sample_rate: int) -> _Biquad:
    k = math.tan(math.pi * 1681.974450955533 / sample_rate)
    quality = 0.7071752369554196
    high = 10.0 ** (3.999843853973347 / 20.0)
    band = high**0.4996667741545416
    return (
        (high + band * k / quality + k * k, 2.0 * (k * k - high), high - band * k / quality + k * k),
        (1.0 + k / quality + k * k, 2.0 * (k * k - 1.0), 1.0 - k / quality + k * k),
    )


def _high_pass(sample_rate: int) -> _Biquad:
    k = math.tan(math.pi * 38.13547087602444 / sample_rate)
    quality = 0.5003270373238773
    scale = 1.0 + k / quality + k * k
    # The standard's numerator is (1, -2, 1) as it stands, not divided by `scale`.
    return (scale, -2.0 * scale, scale), (scale, 2.0 * (k * k - 1.0), 1.0 - k / quality + k * k)
