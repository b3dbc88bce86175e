"""Everything that is said goes to the log, but for what a person is meant to see."""

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import os, subprocess, sys
from pathlib import Path
from pipeline.chatter import chatter_to
with chatter_to(Path(sys.argv[1])) as terminal:
    print("from print")
    print("from print to stderr", file=sys.stderr)
    os.write(2, b"from the descriptor\\n")
    subprocess.run(["echo", "from a child"], check=True)
    terminal.write("for the person\\n")
print("afterwards")
"""
QUIET = """
import sys
from pathlib import Path
from pipeline.chatter import chatter_to
with chatter_to(Path(sys.argv[1])):
    pass
"""


def test_chatter_is_kept_from_the_terminal(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "run.log"
    result = subprocess.run([sys.executable, "-c", SCRIPT, log], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines() == ["for the person", "afterwards"]
    assert result.stderr == ""
    said = log.read_text()
    for what in ("from print\n", "from print to stderr\n", "from the descriptor\n", "from a child\n"):
        assert what in said


def test_a_log_in_which_nothing_was_said_leaves_no_trace(tmp_path: Path) -> None:
    log = tmp_path / "store" / "logs" / "run.log"
    subprocess.run([sys.executable, "-c", QUIET, log], check=True)
    assert os.listdir(tmp_path) == []
