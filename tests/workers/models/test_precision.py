from pathlib import Path

import pytest

from workers.models.precision import resolve_precision


@pytest.mark.parametrize(
    ("flags", "device", "precision", "reason"),
    [
        ("sse2 avx512f amx_bf16 amx_tile", "cpu", "bfloat16", "has AMX"),
        ("sse2 avx512f avx512_bf16", "cpu", "float32", "no AMX"),
        ("sse2", "cuda", "bfloat16", "the GPU"),
    ],
)
def test_auto(tmp_path: Path, flags: str, device: str, precision: str, reason: str) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\nflags\t\t: fpu {flags}\nbugs\t\t:\n")
    resolved, sentence = resolve_precision("auto", device, cpuinfo=cpuinfo)
    assert resolved == precision
    assert reason in sentence


def test_auto_without_cpuinfo(tmp_path: Path) -> None:
    assert resolve_precision("auto", "cpu", cpuinfo=tmp_path / "none")[0] == "float32"


@pytest.mark.parametrize("requested", ["float32", "bfloat16", "float16"])
def test_a_named_precision_is_kept(requested: str) -> None:
    assert resolve_precision(requested, "cpu") == (requested, f"{requested}, as the spec says.")
