"""YAML and `--set` overrides → a checked job."""

import importlib
import pkgutil
from collections.abc import Sequence
from pathlib import Path as FilePath
from typing import Any

import yaml
from pydantic import ValidationError

import jobs
from jobs.base import Job
from jobs.spec_error import Path, SpecError, as_spec_error, choose, explain, field_path
from workers.files import absolute, check_uri, is_uri, open_file
from workers.files.uri import redacted

RECIPES = FilePath(__file__).parent / "recipes"
_SUFFIX = "_job"


def job_kinds() -> dict[str, type[Job]]:
    """Every kind of job by name: the `Job` subclass of each file `<kind>_job.py` in this folder."""
    kinds: dict[str, type[Job]] = {}
    for module in pkgutil.iter_modules(jobs.__path__):
        if module.name.endswith(_SUFFIX):
            kind = module.name.removesuffix(_SUFFIX)
            found = vars(importlib.import_module(f"jobs.{module.name}")).values()
            kinds[kind] = next(
                value
                for value in found
                if isinstance(value, type)
                and issubclass(value, Job)
                and value is not Job
                and value.model_fields["kind"].default == kind
            )
    return kinds


def load_job(spec: str | FilePath, overrides: Sequence[str] = ()) -> Job:
    """Reads a spec file, applies overrides, and checks the result.

    Args:
        spec: a YAML file, here or at a URI, or the name of a recipe that comes with latentmill.
        overrides: `a.b=value` each; the value is YAML.

    Raises:
        SpecError: the file or a field is wrong; the message says where and what is allowed.
    """
    path = find_spec(spec)
    document = SpecDocument.read(path)
    for override in overrides:
        document.override(override)
    return document.check()


def find_spec(spec: str | FilePath) -> FilePath | str:
    """The file that `spec` names: itself, which may be a URI, or a recipe.

    Raises:
        SpecError: there is neither.
    """
    if isinstance(spec, str) and is_uri(spec):
        with as_spec_error():
            return absolute(spec)
    path = FilePath(spec).expanduser()
    recipe = RECIPES / f"{spec}.yaml"
    if path.is_file():
        return path
    if len(FilePath(spec).parts) == 1 and recipe.is_file():
        return recipe
    names = ", ".join(sorted(file.stem for file in RECIPES.glob("*.yaml")))
    problem = "is a folder, not a spec file" if path.is_dir() else "no such file"
    raise SpecError(f"{spec}: {problem}; give a YAML file or one of the recipes: {names}")


class SpecDocument:
    """Plain values of a spec, with where each was written."""

    def __init__(self, name: str, values: dict[str, Any], places: dict[Path, str]) -> None:
        self.name = name
        self.values = values
        self._places = places
        self._texts: dict[Path, str] = {}

    @classmethod
    def read(cls, path: FilePath | str) -> "SpecDocument":
        """Parses a YAML file.

        Raises:
            SpecError: it cannot be read, is not YAML, or is not a mapping.
        """
        try:
            with open_file(str(path)) as file:
                text = file.read().decode()
            node = yaml.compose(text, Loader=yaml.SafeLoader)
            values = yaml.safe_load(text)
        except OSError as error:
            raise SpecError(f"{path}: {error.strerror or error}") from error
        except UnicodeDecodeError as error:
            raise SpecError(f"{path}: not a text file ({error.reason} at byte {error.start})") from error
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            line = f":{mark.line + 1}" if mark else ""
            raise SpecError(f"{path}{line}: not valid YAML: {getattr(error, 'problem', None) or error}") from error
        if not isinstance(values, dict) or node is None:
            raise SpecError(f"{path}: a spec is a mapping of fields to values, got {type(values).__name__}")
        places: dict[Path, str] = {}
        _note_lines(node, (), str(path), places)
        document = cls(str(path), values, places)
        for name, value in values.items():
            _refuse_secrets(value, document._where((name,)), name)
        return document

    def override(self, text: str) -> None:
        """Applies one `a.b=value`.

        Raises:
            SpecError: it is not of that form, or goes through a value that has no fields.
        """
        name, equals, value_text = text.partition("=")
        text = redacted(text)
        keys = name.strip().split(".")
        if not equals or not all(keys):
            raise SpecError(f"--set {text}: write it as field=value, such as --set placement.actors=2")
        value = _override_value(text, value_text.strip())
        _refuse_secrets(value, f"--set {text}", ".".join(keys))
        target = self.values
        for depth, key in enumerate(keys[:-1], start=1):
            inner = target.get(key)
            if inner is None:
                inner = target[key] = {}
            if not isinstance(inner, dict):
                raise SpecError(f"--set {text}: {'.'.join(keys[:depth])} is {inner!r} and has no fields")
            target = inner
        target[keys[-1]] = value
        self._places[tuple(keys)] = f"--set {text}"
        self._texts[tuple(keys)] = value_text.strip()

    def check(self) -> Job:
        """The job that these values describe.

        Raises:
            SpecError: they describe none.
        """
        kinds = job_kinds()
        kind = self.values.get("kind")
        if not isinstance(kind, str) or kind not in kinds:
            problem = (
                "required, but not given; one of " + ", ".join(kinds) if kind is None else choose(kind, list(kinds))
            )
            raise SpecError(f"{self._where(('kind',))}: kind: {problem}")
        try:
            return kinds[kind].model_validate(self.values)
        except ValidationError as error:
            if self._take_as_text(error):
                return self.check()
            raise explain(error, self.values, kinds[kind], self._where) from error

    def _take_as_text(self, error: ValidationError) -> bool:
        """Takes overrides literally that YAML read as a number or a date where a text belongs, as in output=2024."""
        taken = False
        for detail in error.errors(include_url=False):
            path = field_path(detail, self.values)
            if detail["type"] == "string_type" and path in self._texts:
                target = self.values
                for key in path[:-1]:
                    target = target[str(key)]
                target[str(path[-1])] = self._texts.pop(path)
                taken = True
        return taken

    def _where(self, path: Path) -> str:
        """Where the value at `path` was written, or else the nearest thing around it."""
        for end in range(len(path), 0, -1):
            if path[:end] in self._places:
                return self._places[path[:end]]
        return self.name


def _refuse_secrets(value: Any, where: str, name: str) -> None:
    """Looks for URIs with credentials in them before anything repeats them.

    Raises:
        SpecError: there is one.
    """
    if isinstance(value, dict):
        for key, inner in value.items():
            _refuse_secrets(inner, where, f"{name}.{key}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            _refuse_secrets(inner, where, f"{name}[{index}]")
    elif isinstance(value, str) and is_uri(value):
        try:
            check_uri(value)
        except ValueError as error:
            raise SpecError(f"{where}: {name}: {error}") from error


def _override_value(override: str, text: str) -> Any:
    """The value of an override: YAML, or the text itself where a shell user means no YAML, as in `*.flac` or `a #1`."""
    structured = text.startswith(("[", "{", '"', "'"))
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        if structured:
            problem = getattr(error, "problem", error)
            raise SpecError(f"--set {override}: the value is not valid YAML: {problem}") from error
        return text
    return text if " #" in text and not structured else value


def _note_lines(node: yaml.Node, path: Path, file: str, places: dict[Path, str]) -> None:
    """Notes the line of every key below `node`; refuses a key that stands twice, which YAML would let win silently."""
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            name = str(key.value)
            line = f"{file}:{key.start_mark.line + 1}"
            if name in seen:
                raise SpecError(f"{line}: {name!r} stands twice in this mapping; remove one")
            seen.add(name)
            places[(*path, name)] = line
            _note_lines(value, (*path, name), file, places)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            places[(*path, index)] = f"{file}:{value.start_mark.line + 1}"
            _note_lines(value, (*path, index), file, places)
