"""Which vocoder a spec means."""

from typing import Any

import pytest
from pydantic import TypeAdapter

from workers.models.hifigan_spec import HifiganSpec
from workers.models.transformers_vocoder_spec import TransformersVocoderSpec
from workers.models.vocoder_spec import VocoderSpec

SPEC: TypeAdapter[Any] = TypeAdapter(VocoderSpec)


def test_the_kind_decides_and_may_be_left_out_as_when_there_was_one() -> None:
    assert SPEC.validate_python({"kind": "hifigan", "weights": "a"}) == HifiganSpec(weights="a")
    transformers = TransformersVocoderSpec(weights="a")
    assert SPEC.validate_python({"kind": "speecht5_hifigan", "weights": "a"}) == transformers
    assert SPEC.validate_python({"weights": "a"}) == transformers
    assert SPEC.validate_python(HifiganSpec(weights="a")) == HifiganSpec(weights="a")


def test_a_field_of_the_other_kind_is_refused() -> None:
    with pytest.raises(ValueError, match=r"(?s)hifigan.allow_pickle.*Extra inputs are not permitted"):
        SPEC.validate_python({"kind": "hifigan", "weights": "a", "allow_pickle": True})


def test_its_schema_tells_the_kinds_apart() -> None:
    schema = SPEC.json_schema()
    assert schema["discriminator"]["mapping"].keys() == {"speecht5_hifigan", "hifigan"}
    assert "peak of 0.95" in schema["$defs"]["HifiganSpec"]["description"]
