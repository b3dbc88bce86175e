"""`make bench`: every benchmark in turn; tables on the screen, JSON under benchmarks/out/."""

import argparse
import subprocess
import sys
from pathlib import Path

import torch

BENCHMARKS = ("pipeline", "store", "memory", "scale", "griffin_lim", "evaluate", "gpu_encode")
HAVE_QUICK = ("pipeline", "store", "memory", "scale", "griffin_lim", "evaluate")
OUTPUT = Path(__file__).parent / "out"


def main() -> None:
    """Runs the benchmarks, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer units; rougher figures")
    parser.add_argument("names", nargs="*", choices=BENCHMARKS, default=BENCHMARKS, help="which ones; all by default")
    arguments = parser.parse_args()
    OUTPUT.mkdir(exist_ok=True)
    for name in arguments.names:
        print(f"\n{name}\n{'─' * len(name)}", flush=True)
        if name == "gpu_encode" and not torch.cuda.is_available():
            print("skipped: torch finds no CUDA device here")
            continue
        command = [sys.executable, "-m", f"benchmarks.{name}", "--json", str(OUTPUT / f"{name}.json")]
        subprocess.run([*command, *(["--quick"] if arguments.quick and name in HAVE_QUICK else [])], check=True)


if __name__ == "__main__":
    main()
