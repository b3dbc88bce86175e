"""A wrong spec, said so that a person can mend it: file, line, field, what was given, what is allowed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError

Path = tuple[str | int, ...]
MAX_SHOWN = 8


class SpecError(ValueError):
    """What is wrong with a job spec; the message fits one screen."""


@contextmanager
def as_spec_error() -> Iterator[None]:
    """Whatever rejects a value below becomes a SpecError: it is the spec that asked for it."""
    try:
        yield
    except SpecError:
        raise
    except ValueError as error:
        raise SpecError(str(error)) from error


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong at one place."""

    path: Path
    message: str

    @property
    def name(self) -> str:
        """The place as a person would write it: `segment.length_seconds`, `source.path[2]`."""
        text = ""
        for part in self.path:
            text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
        return text


def explain(
    error: ValidationError, given: Mapping[str, Any], model: type[BaseModel], where: Callable[[Path], str]
) -> SpecError:
    """Turns pydantic's error into ours.

    Args:
        error: what pydantic found.
        given: the plain values that were validated.
        model: the job's model, to suggest field names from.
        where: says for a field where it was written, such as `encode.yaml:7`.
    """
    problems: dict[Path, list[str]] = {}
    for detail in error.errors(include_url=False):
        path = field_path(detail, given)
        if detail["type"].startswith("union_tag"):
            path = (*path, "kind")
        problems.setdefault(path, [])
        message = _message(detail, path, given, model)
        if message not in problems[path]:
            problems[path].append(message)
    lines = []
    for path, messages in list(problems.items())[:MAX_SHOWN]:
        problem = Problem(path, "; or ".join(messages))
        lines.append(f"{where(path)}: {problem.name + ': ' if path else ''}{problem.message}")
    if len(problems) > MAX_SHOWN:
        lines.append(f"… and {len(problems) - MAX_SHOWN} more")
    return SpecError("\n".join(lines))


def describe(detail: Any) -> str:
    """One of pydantic's errors in settings that no file holds, as a sentence."""
    name = ".".join(map(str, detail["loc"]))
    if detail["type"] == "value_error":
        return f"{name}: {detail['ctx']['error']}" if name else str(detail["ctx"]["error"])
    return f"{name}: {_plain(detail)}"


def _message(detail: Any, path: Path, given: Mapping[str, Any], model: type[BaseModel]) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        allowed = _fields_beside(path, model, given)
        close = get_close_matches(str(path[-1]), allowed, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"allowed: {', '.join(allowed)}"
        return f"unknown field; {hint}"
    if kind == "missing":
        return "required, but not given"
    if kind == "union_tag_invalid":
        return choose(context["tag"], [tag.strip(" '") for tag in context["expected_tags"].split(",")])
    if kind == "union_tag_not_found":
        return "needs a `kind`"
    if kind == "literal_error":
        allowed = [choice.strip("' ") for choice in context["expected"].replace(" or ", ",").split(",")]
        return choose(detail["input"], allowed)
    if kind == "value_error":
        return str(context["error"])
    return _plain(detail)


def _plain(detail: Any) -> str:
    message: str = detail["msg"][0].lower() + detail["msg"][1:]
    return f"{message.replace('input should be', 'must be')}, got {_shown(detail['input'])}"


def choose(value: object, allowed: Sequence[str]) -> str:
    close = get_close_matches(str(value), allowed, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    return f"must be one of {', '.join(allowed)}, got {_shown(value)}{hint}"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def field_path(detail: Any, given: Mapping[str, Any]) -> Path:
    """Where one of pydantic's errors lies, without what names a union's member rather than a field."""
    path: list[str | int] = []
    value: Any = given
    for part in detail["loc"]:
        in_mapping = isinstance(value, Mapping) and part in value
        in_list = isinstance(value, list | tuple) and isinstance(part, int) and part < len(value)
        if in_mapping or in_list:
            path.append(part)
            value = value[part]
    names_a_field = detail["type"] in ("missing", "extra_forbidden")
    return (*path, detail["loc"][-1]) if names_a_field and detail["loc"][-1] not in path[-1:] else tuple(path)


def _fields_beside(path: Path, model: type[BaseModel], given: Mapping[str, Any]) -> list[str]:
    """Names of the fields that are allowed where `path` names one that is not."""
    current: type[BaseModel] | None = model
    value: Any = given
    for part in path[:-1]:
        value = value[part]
        if current is None or not isinstance(part, str) or part not in current.model_fields:
            return []
        current = _model_of(current.model_fields[part].annotation, value)
    return list(current.model_fields) if current is not None else []


def _model_of(annotation: Any, value: Any) -> type[BaseModel] | None:
    """The settings model in a field's annotation; of several, the one whose `kind` the value names."""
    members = [annotation, *getattr(annotation, "__args__", ())]
    models = [member for member in members if isinstance(member, type) and issubclass(member, BaseModel)]
    for member in models:
        field = member.model_fields.get("kind")
        if field is not None and isinstance(value, Mapping) and value.get("kind") == field.default:
            return member
    return models[0] if models else None
