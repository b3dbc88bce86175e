"""Which number format a model computes in."""

import re
from pathlib import Path
from typing import Literal

from workers.device_kind import DeviceKind as DeviceKind

Precision = Literal["float32", "bfloat16", "float16"]
RequestedPrecision = Literal["float32", "bfloat16", "float16", "auto"]

_CPUINFO = Path("/proc/cpuinfo")


def resolve_precision(
    requested: RequestedPrecision, device_kind: DeviceKind, *, cpuinfo: Path = _CPUINFO
) -> tuple[Precision, str]:
    """Resolve `auto` to the fastest format that is safe: bfloat16 where the device multiplies it natively.

    Args:
        requested: What the spec says.
        device_kind: Where the model runs.
        cpuinfo: The kernel's description of the processor; a missing file counts as a CPU without AMX.

    Returns:
        The precision, and a sentence that says why.
    """
    if requested != "auto":
        return requested, f"{requested}, as the spec says."
    if device_kind == "cuda":
        return "bfloat16", "bfloat16, because the GPU computes it several times as fast as float32."
    if has_amx_bfloat16(cpuinfo):
        return "bfloat16", "bfloat16, because this CPU has AMX and computes it several times as fast as float32."
    return "float32", "float32, because this CPU has no AMX to make bfloat16 pay."


def has_amx_bfloat16(cpuinfo: Path = _CPUINFO) -> bool:
    """Whether the processor multiplies bfloat16 matrices in hardware tiles (Intel AMX)."""
    try:
        text = cpuinfo.read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return re.search(r"^flags\s*:.*\bamx_bf16\b", text, re.MULTILINE) is not None
