"""The decode settings refuse what the decoder cannot do."""

import subprocess
import sys

import pytest
from pydantic import ValidationError

from workers.audio.decode_spec import DecodeSpec


def test_defaults() -> None:
    assert DecodeSpec(sample_rate=16000).model_dump() == {
        "sample_rate": 16000,
        "channels": "mono",
        "resample_quality": "HQ",
    }


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("sample_rate", 0, "greater than or equal to 1000"),
        ("sample_rate", 16000.5, "valid integer"),
        ("channels", "left", "'mono', 'stereo' or 'keep'"),
        ("resample_quality", "hq", "'VHQ', 'HQ', 'MQ', 'LQ' or 'QQ'"),
        ("rate", 16000, "Extra inputs are not permitted"),
    ],
)
def test_bad_settings(field: str, value: object, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        DecodeSpec.model_validate({"sample_rate": 16000, field: value})


def test_import_is_light() -> None:
    code = "import workers.audio.decode_spec, sys; print(sorted({'torch', 'ray', 'numpy', 'soxr'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
