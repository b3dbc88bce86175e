"""Where a run keeps what Ray and the libraries say."""

import os
import re
from datetime import UTC, datetime
from pathlib import Path

from pipeline.store.location import LOGS
from workers.files import is_uri


def log_file(store: str) -> Path:
    """The log of a run that begins now: in the store's folder, or in the user's state folder for a store at a URI.

    Args:
        store: its folder, absolute, or its URI.
    """
    name = f"{datetime.now(UTC):%Y%m%d-%H%M%S}.log"
    if not is_uri(store):
        return Path(store, LOGS, name)
    state = Path(os.environ.get("XDG_STATE_HOME") or "~/.local/state").expanduser()
    return state / "latentmill" / "logs" / re.sub(r"[^\w.-]+", "-", store) / name
