"""JSON Schema of job specs."""

from collections.abc import Mapping
from typing import Any

from jobs.base import Job
from jobs.spec_error import SpecError, choose

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def job_schema(kinds: Mapping[str, type[Job]], kind: str | None = None) -> dict[str, Any]:
    """The JSON Schema of one kind of job, or of all of them told apart by `kind`.

    Raises:
        SpecError: there is no such kind.
    """
    if kind is not None:
        if kind not in kinds:
            raise SpecError(f"schema: {choose(kind, list(kinds))}")
        return {"$schema": DIALECT, **kinds[kind].model_json_schema()}
    from pydantic import TypeAdapter

    definitions: dict[str, Any] = {}
    references = {}
    for name, model in kinds.items():
        schema = TypeAdapter(model).json_schema(ref_template="#/$defs/{model}")
        definitions |= schema.pop("$defs", {})
        schema["required"] = ["kind", *schema.get("required", [])]
        definitions[model.__name__] = schema
        references[name] = f"#/$defs/{model.__name__}"
    return {
        "$schema": DIALECT,
        "title": "latentmill job",
        "oneOf": [{"$ref": reference} for reference in references.values()],
        "discriminator": {"propertyName": "kind", "mapping": references},
        "$defs": definitions,
    }
