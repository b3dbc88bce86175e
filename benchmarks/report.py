"""Figures as a table for people and as JSON for programs."""

import os
import platform
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, kw_only=True)
class Row:
    """One figure: the median of its rounds."""

    case: str
    what: str
    unit: str
    value: float
    values: list[float] = field(default_factory=list)
    """Each round's figure."""

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def print_table(rows: list[Row]) -> None:
    """Prints figures with the span of their rounds."""
    table = Table(box=None, pad_edge=False)
    for heading in ("case", "what", "median", "unit", "rounds"):
        table.add_column(heading, justify="right" if heading in ("median", "rounds") else "left", no_wrap=True)
    for row in rows:
        span = f"{min(row.values):.4g} – {max(row.values):.4g}" if row.values else ""
        table.add_row(row.case, row.what, f"{row.value:.4g}", row.unit, span)
    Console(width=140).print(table)


def machine() -> dict[str, str]:
    """What the figures were taken on."""
    import torch

    found = re.search(r"model name\s*:\s*(.*)", _read("/proc/cpuinfo"))
    flags = [flag for flag in ("amx_bf16", "avx512_bf16") if flag in _read("/proc/cpuinfo")]
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    return {
        "cpu": f"{found.group(1) if found else platform.processor()} ({' '.join(flags) or 'no bfloat16'})",
        "cores": str(len(os.sched_getaffinity(0))),
        "gpu": gpu,
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def _read(path: str) -> str:
    return Path(path).read_text() if Path(path).exists() else ""
