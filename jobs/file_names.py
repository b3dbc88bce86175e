"""Names of exported files: a pattern over a unit's columns, and what keeps a value from leading anywhere else.

```
{category}/{prompt}-{variation}   ──>   weather/rain on a tin roof-0
```
"""

import hashlib
import re
import reprlib
from collections.abc import Mapping, Sequence
from string import Formatter
from typing import Any

from jobs.spec_error import SpecError, choose
from pipeline.store.schema import SAMPLE_ID

VARIATION, COLUMN = "variation", "column"
"""Fields beside the store's columns, and before any of that name: the number behind `#` in the id, and which sound."""
LONGEST_NAME_BYTES = 220
_EMPTY = "_"
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_SEPARATOR = re.compile(r"[/\\]")


class NamePattern:
    """A pattern in the style of `str.format`, whose fields are columns and nothing inside of them.

    A slash makes a folder in the pattern and in `sample_id`, which is often a path; in other values it becomes `_`. So
    does a value that is missing or empty.
    """

    def __init__(self, pattern: str, columns: Sequence[str]) -> None:
        """Check a pattern.

        Args:
            pattern: Such as `{category}/{seed:x}`, without extension.
            columns: Of the store, with one value per row.

        Raises:
            SpecError: It is malformed, leads upwards, or names a column that is not there.
        """
        self.pattern = pattern
        try:
            self._pieces = [(text, field, form or "") for text, field, form, _ in Formatter().parse(pattern)]
            conversions = [piece for *_, piece in Formatter().parse(pattern) if piece]
        except ValueError as error:
            raise SpecError(f"--name {pattern}: {error}; a brace that is meant as such is doubled") from error
        if any(part in ("", ".", "..") for part in pattern.split("/")):
            raise SpecError(f"--name {pattern}: files lie below --to; leave out empty parts, . and ..")
        if pattern.lower().endswith((".flac", ".wav")):
            raise SpecError(f"--name {pattern}: leave out the extension, which is added")
        self.fields = tuple(dict.fromkeys(field for _, field, _ in self._pieces if field is not None))
        allowed = list(dict.fromkeys([VARIATION, COLUMN, *columns]))
        unknown = [field for field in self.fields if field not in allowed]
        if unknown:
            raise SpecError(f"--name {pattern}: a field {choose(unknown[0], allowed)}")
        if conversions or any("{" in form for *_, form in self._pieces):
            raise SpecError(
                f"--name {pattern}: expected fields like {{column}} or {{column:format}}, without ! or inner {{}}"
            )

    @property
    def columns(self) -> list[str]:
        """The columns of the store that have to be read for it."""
        return [field for field in self.fields if field not in (VARIATION, COLUMN)]

    def name(self, row: Mapping[str, Any], column: str) -> str:
        """The relative path of one of a unit's sounds, without extension.

        Args:
            row: The unit's `sample_id`, and `columns`.
            column: Which sound.

        Raises:
            SpecError: A format does not suit a value.
        """
        values = {**row, VARIATION: _variation(row[SAMPLE_ID]), COLUMN: column}
        return file_name("".join(f"{text}{self._filled(field, form, values)}" for text, field, form in self._pieces))

    def _filled(self, field: str | None, form: str, values: Mapping[str, Any]) -> str:
        if field is None:
            return ""
        value = values[field]
        if value is None:
            return _EMPTY
        try:
            text = format(value, form)
        except (ValueError, TypeError) as error:
            raise SpecError(
                f"--name {self.pattern}: {{{field}:{form}}} does not suit the {field} of unit {values[SAMPLE_ID]!r}, "
                f"{reprlib.repr(value)}: {error}"
            ) from error
        return (text if field == SAMPLE_ID else _SEPARATOR.sub("_", text)) or _EMPTY


def file_name(text: str) -> str:
    """A text as a relative path without extension: no part of it leads upwards, is hidden, or is too long."""
    plain = _CONTROL.sub("_", text.replace("\\", "/"))
    parts = [part for part in plain.split("/") if part not in ("", ".")]
    return "/".join(_short("_" + part[1:] if part.startswith(".") else part) for part in parts) or _EMPTY


def _short(part: str) -> str:
    """Names that file systems take: 255 bytes, less an extension and what a half-written file is called."""
    encoded = part.encode()
    if len(encoded) <= LONGEST_NAME_BYTES:
        return part
    digest = hashlib.blake2b(encoded, digest_size=8).hexdigest()
    return f"{encoded[: LONGEST_NAME_BYTES - 17].decode(errors='ignore')}-{digest}"


def _variation(sample_id: str) -> int | str:
    number = sample_id.rpartition("#")[2] if "#" in sample_id else ""
    return int(number) if number.isdecimal() else number
