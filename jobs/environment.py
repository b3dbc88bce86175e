"""What content is made with, for the manifest: who compares two stores wants to know."""

import platform
from importlib.metadata import version

from workers.device_kind import DeviceKind

PACKAGES = ("latentmill", "torch", "torchaudio", "ray", "pyarrow", "numpy", "soundfile", "av", "soxr", "diffusers")


def environment(device: DeviceKind) -> dict[str, str]:
    """Versions and devices by name."""
    import torch

    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "device": torch.cuda.get_device_name() if device == "cuda" and torch.cuda.is_available() else device,
        **{package: version(package) for package in PACKAGES},
    }
