"""The base of every settings model."""

from pydantic import BaseModel, ConfigDict


class Spec(BaseModel):
    """Frozen settings that refuse unknown fields; the docstring under a field describes it in the JSON Schema.

    A settings model lives in `<thing>_spec.py` beside the `<thing>.py` that it configures, so that a job spec can be
    checked without importing torch.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)
