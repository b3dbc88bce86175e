"""A table of prompts → items, one for each row, with all that its sounds are made by.

```
_item │ _path  _member │ _error │ _duration_seconds │ _variations │ prompt  negative_prompt  temperature … │ metadata …
```

Settings that a row leaves empty are the job's. What is wrong with a row is said in `_error`, and costs that row.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from pydantic import BaseModel, ValidationError

from pipeline.probe import probe_items
from pipeline.prompts_spec import PromptsSpec
from pipeline.source.errors import SourceError
from pipeline.source.items import RESERVED_COLUMNS, require_columns
from pipeline.source.listing import Listing
from pipeline.source.manifest import MANIFEST_EXTENSIONS, read_table, resolve_paths
from workers.files import absolute, check_uri, open_file
from workers.files.uri import extension_of, folder_of

NEGATIVE_PROMPT = "negative_prompt"
SEED = "seed"
PROMPT_AUDIO = "prompt_audio"
MASK = "mask"
AUDIO_PATH, AUDIO_SECONDS, AUDIO_FINGERPRINT = "_prompt_audio_path", "prompt_audio_seconds", "prompt_audio_fingerprint"
"""Columns that say more of the sound that a row goes on from; the first is not stored."""
TEXTS = ".txt"
_SLUG_LENGTH = 40
_EXACT_BELOW = 2.0**53
"""Whole numbers below are exact as floats."""
_NO_NUMBER = frozenset(pa.csv.ConvertOptions().null_values)
"""What stands for an empty cell in a column of numbers of a CSV file; seeds are read as texts."""


def list_prompts(spec: PromptsSpec, defaults: BaseModel) -> Listing:
    """The prompts of a table.

    Args:
        spec: which table.
        defaults: a model of the settings of a row, with the job's values; its class says what values are allowed.

    Raises:
        SourceError: the table cannot be read, is empty, lacks a column, has one of a wrong type or of a name that the
            store uses, or two rows have one name.
    """
    try:
        check_uri(spec.path)
        table = _read(spec)
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise SourceError(f"source.path: cannot read the prompts {spec.path!r}: {error}") from error
    except SourceError:
        raise
    except ValueError as error:
        raise SourceError(f"source.path: {error}") from error
    if not table.num_rows:
        raise SourceError(f"source.path: {spec.path!r} has no rows, so there is no prompt")
    carried = _carried(table, spec, type(defaults))
    settings = [name for name in type(defaults).model_fields if name in table.column_names]
    rows = _plain_rows(table.select([spec.prompt_column, *settings]), spec)
    made = [_Row.of(row.pop(spec.prompt_column), row, defaults) for row in rows]
    given = _given_sounds(made, spec) if PROMPT_AUDIO in table.column_names else {}
    names = _names(table, spec, made)
    columns: dict[str, Any] = {
        "_item": pa.array(names, pa.string()),
        "_path": pa.array([absolute(spec.path)] * len(made), pa.string()),
        "_member": pa.nulls(len(made), pa.string()),
        "_error": pa.array([row.error for row in made], pa.string()),
        "_duration_seconds": pa.array([row.settings["duration_seconds"] for row in made], pa.float64()),
        "_variations": pa.array([1 if row.error else row.settings["variations"] for row in made], pa.int32()),
        "prompt": pa.array([row.prompt for row in made], pa.string()),
    }
    for name in type(defaults).model_fields:
        if name not in ("duration_seconds", "variations") and (given or name not in (PROMPT_AUDIO, MASK)):
            stored = "prompt_seed" if name == "seed" else name
            # none of a row that cannot be used: where it could be before or can be again, that is a change
            values = [None if row.error else row.settings[name] for row in made]
            columns[stored] = pa.array(values, _TYPES[name])
    items = pa.table(columns | given | {name: table[name] for name in carried})
    order = pc.sort_indices(items["_item"])
    broken = sum(row.error is not None for row in made)
    notes = (f"of {len(made):,} prompts, {broken:,} cannot be used, and go into the quarantine",) if broken else ()
    return Listing(items=items.take(order), notes=notes)


_TYPES = {
    NEGATIVE_PROMPT: pa.string(),
    "temperature": pa.float64(),
    "top_k": pa.int32(),
    "top_p": pa.float64(),
    "guidance_scale": pa.float64(),
    "seed": pa.uint64(),
    PROMPT_AUDIO: pa.string(),
    MASK: pa.string(),
}


class _Row:
    """A prompt and the settings that it is made by."""

    def __init__(self, prompt: str, settings: Mapping[str, Any], given: Mapping[str, Any], error: str | None) -> None:
        self.prompt, self.settings, self.given, self.error = prompt, settings, given, error

    @classmethod
    def of(cls, prompt: Any, overrides: Mapping[str, Any], defaults: BaseModel) -> "_Row":
        """From a row of the table; where its values are not allowed, with the job's, and what is wrong with them."""
        text = "" if prompt is None else str(prompt)
        given = {name: _plain(value) for name, value in overrides.items() if value is not None and value != ""}
        if given.get(SEED) in _NO_NUMBER:
            del given[SEED]
        error = None if text.strip() or given.get(PROMPT_AUDIO) else "the prompt is empty"
        if given.get(MASK) and not given.get(PROMPT_AUDIO):
            error = error or f"mask is {given[MASK]!r}, but there is no prompt_audio that it could be of"
        error = error or _rounded(overrides.get(SEED))
        settings = defaults.model_dump()
        try:
            settings = type(defaults).model_validate(settings | given).model_dump()
            given = {name: _plain(settings[name]) for name in given}  # 5 and "5" are one setting, and one name
        except ValidationError as problem:
            first = problem.errors(include_url=False)[0]
            name = str(first["loc"][0]) if first["loc"] else "row"
            error = error or f"{name} is {given.get(name)!r}: {first['msg'].removeprefix('Value error, ')}"
        return cls(text, settings, given, error)

    @property
    def name(self) -> str:
        """The prompt's beginning, so that a person knows it, and a digest, so that no other row has it."""
        digest = blake2b(digest_size=6)
        for part in (self.prompt, *(f"{name}={self.given[name]!r}" for name in sorted(self.given))):
            digest.update(part.encode("utf-8", "surrogateescape") + b"\0")
        plain = unicodedata.normalize("NFKD", self.prompt).encode("ascii", "ignore").decode().lower()
        slug = re.sub(r"[^a-z0-9]+", "-", plain)[:_SLUG_LENGTH].strip("-")
        return f"{slug}-{digest.hexdigest()}" if slug else digest.hexdigest()


def _given_sounds(rows: Sequence[_Row], spec: PromptsSpec) -> dict[str, pa.Array]:
    """Columns that say where the sounds lie that rows go on from, how long they are, and what they are.

    A row whose sound cannot be read gets its error.

    Raises:
        SourceError: A path holds credentials, or nothing opens it.
    """
    names = [str(row.settings[PROMPT_AUDIO]) if row.error is None else "" for row in rows]
    distinct = list(dict.fromkeys(filter(None, names)))
    folder = folder_of(absolute(spec.path))
    paths = resolve_paths(pa.chunked_array([distinct], pa.string()), folder, where=spec.path).to_pylist()
    items = pa.table({"_item": distinct, "_path": paths, "_member": pa.nulls(len(distinct), pa.string())})
    found = probe_items(items.cast(_PLACES), None, lambda _: None).to_pylist() if distinct else []
    headers = dict(zip(distinct, zip(paths, found, strict=True), strict=True))
    told: list[tuple[str | None, float | None, str | None]] = []
    for name, row in zip(names, rows, strict=True):
        path, header = headers.get(name, (None, {}))
        if header.get("error"):
            row.error = f"prompt_audio {name!r}: {header['error']}"
        if not header or row.error is not None:
            told.append((None, None, None))
        else:
            told.append((path, header["num_frames"] / header["sample_rate"], header["fingerprint"].hex()))
    columns = zip(*told, strict=True)
    types = {AUDIO_PATH: pa.string(), AUDIO_SECONDS: pa.float64(), AUDIO_FINGERPRINT: pa.string()}
    return {name: pa.array(values, types[name]) for name, values in zip(types, columns, strict=True)}


_PLACES = pa.schema([(name, pa.string()) for name in ("_item", "_path", "_member")])


def _plain(value: Any) -> Any:
    """Whole numbers as such: a column with gaps holds them as floats."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _rounded(seed: Any) -> str | None:
    """What is wrong with a seed that came as a float too large to be exact: in the file it may be another one."""
    if isinstance(seed, float) and abs(seed) >= _EXACT_BELOW:
        return f"seed is {seed:.17g} as a floating-point number, which may be rounded: write it as a text"
    return None


def _plain_rows(table: pa.Table, spec: PromptsSpec) -> list[dict[str, Any]]:
    """The rows as Python has them.

    Raises:
        SourceError: the prompts are of a type that is no text, or some text is not Unicode.
    """
    kind = table[spec.prompt_column].type
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        raise SourceError(f"{spec.path}: column {spec.prompt_column!r} is {kind}; prompts are texts")
    try:
        rows: list[dict[str, Any]] = table.to_pylist()
    except UnicodeDecodeError as error:
        raise SourceError(f"{spec.path}: a text is not valid UTF-8 ({error})") from error
    return rows


def _read(spec: PromptsSpec) -> pa.Table:
    extension = extension_of(spec.path)
    if extension == TEXTS:
        with open_file(spec.path) as file:
            lines = [line.rstrip("\r") for line in file.read().decode("utf-8-sig").split("\n")]
        return pa.table({spec.prompt_column: pa.array([line for line in lines if line.strip()], pa.string())})
    if extension not in MANIFEST_EXTENSIONS:
        known = ", ".join(sorted({*MANIFEST_EXTENSIONS, TEXTS}))
        raise SourceError(f"source.path: {spec.path!r} is no table of prompts; give one of {known}")
    # as numbers, seeds beyond 63 bits would be rounded
    texts = [spec.prompt_column, NEGATIVE_PROMPT, SEED, PROMPT_AUDIO, MASK, *filter(None, [spec.id_column])]
    table = read_table(spec.path, texts=texts)
    require_columns(table.schema, (spec.prompt_column, spec.id_column, *(spec.columns or ())), spec.path)
    if MASK in table.column_names and PROMPT_AUDIO not in table.column_names:
        raise SourceError(
            f"{spec.path}: column 'mask' says what of {PROMPT_AUDIO!r} is made anew, and there is no such column; add"
            " it, or rename 'mask'"
        )
    return table


def _carried(table: pa.Table, spec: PromptsSpec, settings: type[BaseModel]) -> Sequence[str]:
    """Columns that go into the store as they are."""
    spent = {spec.prompt_column, spec.id_column, *settings.model_fields}
    names = [name for name in table.column_names if name not in spent] if spec.columns is None else spec.columns
    taken = RESERVED_COLUMNS | {"prompt", "prompt_seed", AUDIO_SECONDS, AUDIO_FINGERPRINT}
    for name in names:
        if name in taken or name.startswith("_"):
            raise SourceError(
                f"{spec.path}: column {name!r} has a name that the store uses itself; rename it, or list the columns to"
                " carry in source.columns"
            )
    return [name for name in names if name not in spent]


def _names(table: pa.Table, spec: PromptsSpec, rows: Sequence[_Row]) -> list[str]:
    """Of the rows, all different. The same prompt a second time is another clip, `…-2`.

    Raises:
        SourceError: two have one in the table, or one has none.
    """
    if spec.id_column is None:
        times: Counter[str] = Counter()
        names = []
        for row in rows:
            times[row.name] += 1
            names.append(row.name if times[row.name] == 1 else f"{row.name}-{times[row.name]}")
        return names
    names = ["" if name is None else str(name) for name in table[spec.id_column].to_pylist()]
    seen: dict[str, int] = {}
    for number, name in enumerate(names, start=1):
        if not name:
            raise SourceError(f"{spec.path}: column {spec.id_column!r} is empty in data row {number}")
        if name in seen:
            raise SourceError(
                f"{spec.path}: column {spec.id_column!r} is {name!r} in data rows {seen[name]} and {number}; give each"
                " row a name of its own"
            )
        seen[name] = number
    return names
