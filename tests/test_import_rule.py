"""Imports run downhill only: jobs → pipeline → workers; the command line answers before it imports torch or Ray."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FORBIDDEN = {
    "workers": {"ray", "jobs", "pipeline", "typer", "rich"},
    "pipeline": {"jobs", "typer"},
    "jobs": set(),
}


def imported(path: Path) -> set[str]:
    """Top-level names of all packages that a file imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("room", FORBIDDEN)
def test_imports_run_downhill(room: str) -> None:
    files = list((ROOT / room).rglob("*.py"))
    assert len(files) > 5
    uphill = {str(path): names for path in files if (names := imported(path) & FORBIDDEN[room])}
    assert not uphill


@pytest.mark.parametrize(
    "arguments", [["--help"], ["run", "--help"], ["report", "--help"], ["schema", "encode"], ["run", "nothing.yaml"]]
)
def test_light_commands_import_neither_torch_nor_ray(arguments: list[str]) -> None:
    script = (
        "import sys\n"
        "from jobs.cli import main\n"
        f"sys.argv = ['latentmill', *{arguments!r}]\n"
        "try:\n    main()\n"
        "except SystemExit:\n    pass\n"
        "heavy = {'torch', 'ray', 'diffusers', 'transformers', 'librosa', 'matplotlib', 'jinja2'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_every_worker_module_imports_without_ray() -> None:
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in sorted((ROOT / "workers").rglob("*.py"))
        if path.name != "__init__.py"
    ]
    script = (
        f"import sys\nsys.modules['ray'] = None\nimport importlib\nfor m in {modules!r}: importlib.import_module(m)"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
