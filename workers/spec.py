"""The base of every settings model."""

import os
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict


def _as_text(value: Any) -> Any:
    return os.fspath(value) if isinstance(value, os.PathLike) else value


PathText = Annotated[str, BeforeValidator(_as_text)]
"""A path as text; `pathlib` paths are taken too."""


class Spec(BaseModel):
    """Frozen settings that refuse unknown fields; the docstring under a field describes it in the JSON Schema.

    A settings model lives in `<thing>_spec.py` beside the `<thing>.py` that it configures, so that a job spec can be
    checked without importing torch.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)
