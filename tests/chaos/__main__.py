"""`python -m tests.chaos`: rounds of chaos, a table, and exit code 1 if anything was lost, doubled or different."""

import argparse
import json
import logging
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.chaos.cluster import raylet_cluster
from tests.chaos.rounds import FAULTS, Chaos, Round

HEADER = "round  fault   job          at  lost  duplicated  failed  digest       took"


def main() -> int:
    """Runs the rounds, printing each as it ends."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write what happened to this file too")
    parser.add_argument("--keep", type=Path, help="work here, and leave everything there")
    arguments = parser.parse_args()
    logging.getLogger("ray").setLevel(logging.ERROR)
    done: list[Round] = []
    folder = arguments.keep or Path(tempfile.mkdtemp(prefix="latentmill-chaos-"))
    folder.mkdir(parents=True, exist_ok=True)
    with raylet_cluster() as cluster:
        chaos = Chaos(cluster, folder, arguments.seed)
        tell(
            f"{arguments.rounds} rounds on {cluster.num_raylets} raylets, seed {arguments.seed}, in {folder}\n{HEADER}"
        )
        for result in chaos.rounds(arguments.rounds):
            done.append(result)
            tell(row(result))
            if arguments.json:
                report = {"seed": arguments.seed, "rounds": [result.as_json() for result in done]}
                arguments.json.parent.mkdir(parents=True, exist_ok=True)
                arguments.json.write_text(json.dumps(report, indent=2) + "\n")
    tell(summary(done))
    if not all(result.sound for result in done):
        return 1
    if not arguments.keep:
        shutil.rmtree(folder)
    return 0


def row(result: Round) -> str:
    """One line of the table."""
    digest = "equal" if result.digest_equal else "DIFFERENT"
    notes = [f"too late {result.num_too_late}x"] * bool(result.num_too_late) + ["never hit"] * (not result.hit)
    notes += [f"exit code {result.exit_code}"] * bool(result.exit_code)
    return (
        f"{result.number:>5}  {result.fault:<7} {result.kind:<6} {result.moment_seconds:>6.1f} s {result.num_lost:>5}"
        f" {result.num_duplicated:>11} {result.num_quarantined:>7}  {digest:<9} {result.seconds:>5.0f} s"
        f"  {', '.join(notes)}".rstrip()
    )


def summary(done: list[Round]) -> str:
    """What came of it, by fault."""
    rounds, sound, hits = (
        Counter(result.fault for result in done if test(result))
        for test in (lambda _: True, lambda result: result.sound, lambda result: result.hit)
    )
    lines = ["", f"{'fault':<7} {'rounds':>7} {'hit mid-run':>12} {'unharmed':>9}"]
    lines += [f"{fault:<7} {rounds[fault]:>7} {hits[fault]:>12} {sound[fault]:>9}" for fault in FAULTS]
    wrong = [result.number for result in done if not result.sound]
    lines.append(f"{len(done) - len(wrong)} of {len(done)} stores are as if nothing had happened")
    return "\n".join([*lines, *([f"not so in rounds {', '.join(map(str, wrong))}"] if wrong else [])])


def tell(text: str) -> None:
    """Prints at once, also into a pipe."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
