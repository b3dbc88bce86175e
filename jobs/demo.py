"""`make demo`: the main job, on a folder of yours or on sounds made up here, and what to type next."""

import shutil
from pathlib import Path
from typing import Annotated

import typer
import yaml

from jobs.demo_sounds import write_demo_sounds

OUTPUT = Path("demo")


def demo(
    data: Annotated[Path | None, typer.Option(help="Folder of recordings; synthesised sounds when left out.")] = None,
    output: Annotated[Path, typer.Option(help="Where the demo's sounds, specs and store go.")] = OUTPUT,
) -> None:
    """Encode a folder of recordings into a store of latents."""
    from jobs import cli

    shutil.rmtree(output / "latents", ignore_errors=True)
    source = data or write_demo_sounds(output / "sounds")
    spec = output / "encode.yaml"
    spec.parent.mkdir(parents=True, exist_ok=True)
    spec.write_text(yaml.safe_dump(_spec(source, output / "latents"), sort_keys=False))
    typer.echo(f"$ latentmill run {spec}")
    cli.run(str(spec))
    typer.echo(f"  latentmill plan {spec}            (edit it first, or --set source.path=… --set output=…)")
    if not shutil.which("latentmill"):
        typer.echo("To have `latentmill` in this shell: source .venv/bin/activate")


def _spec(source: Path, output: Path) -> dict[str, object]:
    return {
        "kind": "encode",
        "source": {"path": str(source)},
        "output": str(output),
        "segment": {"length_seconds": 5.12},
        "model": {"kind": "audio_vae"},
    }


if __name__ == "__main__":
    typer.run(demo)
