"""`make bench`: every benchmark in turn; tables on the screen, JSON under benchmarks/out/."""

import argparse
import subprocess
import sys
from pathlib import Path

BENCHMARKS = ("pipeline", "store", "memory")
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
        command = [sys.executable, "-m", f"benchmarks.{name}", "--json", str(OUTPUT / f"{name}.json")]
        subprocess.run([*command, *(["--quick"] if arguments.quick else [])], check=True)


if __name__ == "__main__":
    main()
