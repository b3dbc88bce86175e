"""Texts as rows of a tensor, the only thing that a batch is made of.

```
texts  ["dog", None, "bird"]   →   uint8 [3, 4]   d o g 0 │ 0 0 0 0 │ b i r d
```
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def texts_to_rows(texts: Sequence[str | None]) -> Tensor:
    """UTF-8, filled up with zeros; uint8 [n, L] with L of at least 1."""
    encoded = [(text or "").encode() for text in texts]
    rows = torch.zeros(len(encoded), max(1, *map(len, encoded)) if encoded else 1, dtype=torch.uint8)
    for row, text in zip(rows, encoded, strict=True):
        row[: len(text)] = torch.frombuffer(bytearray(text), dtype=torch.uint8) if text else 0
    return rows


def rows_to_texts(rows: Tensor) -> list[str]:
    """The inverse; what had no text has an empty one."""
    return [bytes(row.numpy()).rstrip(b"\0").decode() for row in rows]
