"""What content is made with, for the manifest: who compares two stores wants to know."""

import platform
import re
from importlib.metadata import version
from pathlib import Path

from workers.device_kind import DeviceKind

PACKAGES = ("latentmill", "torch", "torchaudio", "ray", "pyarrow", "numpy", "soundfile", "av", "soxr", "diffusers")
ENVIRONMENT_FIELDS = frozenset({"python", "platform", "cpu", "device", *PACKAGES})
"""Names of what `environment` tells; what else stands in a manifest's environment decides content."""


def environment(device: DeviceKind) -> dict[str, str]:
    """Versions and devices by name."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpu_name(),
        "device": _gpu_name() if device == "cuda" else device,
        **{package: version(package) for package in PACKAGES},
    }


def _cpu_name() -> str:
    """The processor's model where the kernel tells it, else its kind."""
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(errors="replace"), re.MULTILINE)
    except OSError:
        found = None
    return found.group(1) if found else platform.machine()


def _gpu_name() -> str:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cuda"
