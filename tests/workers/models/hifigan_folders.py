"""Small HiFi-GANs as their authors' code saves them, and what that code computes, written with plain functions."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import conv1d, conv_transpose1d, leaky_relu

State = dict[str, Tensor]
Names = Literal["older", "newer", "plain"]

SIZES: dict[str, Any] = {
    "upsample_rates": [5, 4, 4, 2],
    "upsample_kernel_sizes": [16, 8, 8, 4],  # 16 - 5 is odd: one sample more than frames ask for
    "upsample_initial_channel": 32,
    "num_mels": 64,
    "sampling_rate": 16_000,
    "hop_size": 160,
    "n_fft": 1024,
    "win_size": 1024,
    "fmin": 0,
    "fmax": 8000,
    "batch_size": 16,
    "learning_rate": 0.0002,
}
BLOCKS: dict[str, dict[str, Any]] = {
    "1": {"resblock": "1", "resblock_kernel_sizes": [3, 7], "resblock_dilation_sizes": [[1, 3, 5], [1, 2, 4]]},
    "2": {"resblock": "2", "resblock_kernel_sizes": [3, 5], "resblock_dilation_sizes": [[1, 2], [2, 6]]},
}


def config_of(kind: str = "1", /, **changes: Any) -> dict[str, Any]:
    """A `config.json` for a kind of residual block."""
    return {**SIZES, **BLOCKS[kind], **changes}


def layers_of(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Shapes of the weights; the number of biases is the number of outputs."""
    channels = config["upsample_initial_channel"]
    layers: dict[str, tuple[int, ...]] = {"conv_pre": (channels, config["num_mels"], 7)}
    number = 0
    for stage, size in enumerate(config["upsample_kernel_sizes"]):
        layers[f"ups.{stage}"] = (channels, channels // 2, size)
        channels //= 2
        for size, dilations in zip(config["resblock_kernel_sizes"], config["resblock_dilation_sizes"], strict=True):
            for name in ("convs1", "convs2") if config["resblock"] == "1" else ("convs",):
                for place in range(len(dilations)):
                    layers[f"resblocks.{number}.{name}.{place}"] = (channels, channels, size)
            number += 1
    layers["conv_post"] = (1, channels, 7)
    return layers


def state_of(config: Mapping[str, Any], *, seed: int = 0) -> State:
    """Gains, directions and biases, as training has them."""
    generator = torch.Generator().manual_seed(seed)
    state: State = {}
    for layer, shape in layers_of(config).items():
        outputs = shape[1] if layer.startswith("ups.") else shape[0]
        state[f"{layer}.bias"] = 0.1 * torch.randn(outputs, generator=generator)
        state[f"{layer}.weight_g"] = 0.8 + 0.4 * torch.rand(shape[0], 1, 1, generator=generator)
        state[f"{layer}.weight_v"] = torch.randn(shape, generator=generator)
    return state


def weight_of(state: Mapping[str, Tensor], layer: str) -> Tensor:
    """A layer's weight: its directions, each brought to the length of its gain."""
    direction = state[f"{layer}.weight_v"].double()
    length = direction.square().sum(dim=(1, 2), keepdim=True).sqrt()
    return state[f"{layer}.weight_g"].double() * direction / length


def sound_of(config: Mapping[str, Any], state: Mapping[str, Tensor], mel: Tensor) -> Tensor:
    """The authors' forward pass in float64: mel [B, n_mels, T] to sound [B, samples]."""

    def convolved(x: Tensor, layer: str, *, dilation: int = 1) -> Tensor:
        weight = weight_of(state, layer)
        padding = (weight.shape[2] * dilation - dilation) // 2
        return conv1d(x, weight, state[f"{layer}.bias"].double(), dilation=dilation, padding=padding)

    kinds = list(zip(config["resblock_kernel_sizes"], config["resblock_dilation_sizes"], strict=True))
    x = convolved(mel.double(), "conv_pre")
    for stage, (rate, size) in enumerate(zip(config["upsample_rates"], config["upsample_kernel_sizes"], strict=True)):
        up = f"ups.{stage}"
        x = leaky_relu(x, 0.1)
        x = conv_transpose1d(
            x, weight_of(state, up), state[f"{up}.bias"].double(), stride=rate, padding=(size - rate) // 2
        )
        results = []
        for place, (_, dilations) in enumerate(kinds):
            block, y = f"resblocks.{stage * len(kinds) + place}", x
            for index, dilation in enumerate(dilations):
                z = leaky_relu(y, 0.1)
                if config["resblock"] == "1":
                    z = convolved(z, f"{block}.convs1.{index}", dilation=dilation)
                    y = y + convolved(leaky_relu(z, 0.1), f"{block}.convs2.{index}")
                else:
                    y = y + convolved(z, f"{block}.convs.{index}", dilation=dilation)
            results.append(y)
        x = torch.stack(results).mean(dim=0)
    return torch.tanh(convolved(leaky_relu(x, 0.01), "conv_post"))[:, 0]


def named(state: Mapping[str, Tensor], names: Names) -> State:
    """The same weights by torch's older names, its newer ones, or with the weight norms taken off."""
    if names == "older":
        return dict(state)
    if names == "newer":
        endings = {"weight_g": "parametrizations.weight.original0", "weight_v": "parametrizations.weight.original1"}
        return {
            f"{layer}.{endings.get(ending, ending)}": tensor
            for (layer, _, ending), tensor in ((name.rpartition("."), tensor) for name, tensor in state.items())
        }
    layers = [name.removesuffix(".bias") for name in state if name.endswith(".bias")]
    return {f"{layer}.bias": state[f"{layer}.bias"] for layer in layers} | {
        f"{layer}.weight": weight_of(state, layer).float() for layer in layers
    }


def write_hifigan(
    folder: Path,
    config: Mapping[str, Any] | None = None,
    state: Mapping[str, Tensor] | None = None,
    *,
    file: str = "g_00000010",
) -> Path:
    """Write a folder: under `generator` where the file is named like training's, bare where not."""
    config = config or config_of()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    tensors = {name: tensor.contiguous() for name, tensor in (state or state_of(config)).items()}
    if file.endswith(".safetensors"):
        save_file(tensors, folder / file)
    else:
        torch.save({"generator": tensors} if file.startswith("g_") else tensors, folder / file)
    return folder
