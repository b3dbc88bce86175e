"""Patterns of paths: braces as shells and WebDataset write them, and wildcards on disks and in object stores alike."""

import fnmatch
import glob
import itertools
import os
import re
from collections.abc import Iterator, Sequence

from pipeline.source.errors import SourceError
from pipeline.source.folder import relative_names, scan_folder
from workers.files import absolute, is_uri, scheme_of
from workers.files.uri import WEB

MAX_NAMES = 1_000_000
"""No pattern of braces may stand for more."""

_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(-?\d+)\.\.(-?\d+)(?:\.\.(\d+))?")


def has_wildcards(path: str) -> bool:
    """Whether a listing is needed to know what the path stands for. On the web, `?` begins the query."""
    return any(character in path for character in ("*" if scheme_of(path) in WEB else "*?["))


def is_pattern(path: str) -> bool:
    """Whether the path has wildcards, or braces that stand for several names."""
    return has_wildcards(path) or next(_braces(path), None) is not None


def expand_braces(path: str) -> list[str]:
    """`shard-{000..002}.tar` → three names; `{a,b}` → two; braces with neither comma nor range stay as they are.

    Raises:
        SourceError: there are more than MAX_NAMES.
    """
    found = next(_braces(path), None)
    if found is None:
        return [path]
    names: list[str] = []
    for choice in _choices(found[1], path):
        names += expand_braces(path[: found.start()] + choice + path[found.end() :])
        if len(names) > MAX_NAMES:
            raise _too_many(path)
    return list(dict.fromkeys(names))


def fixed_folder(pattern: str) -> str:
    """The folder before the first part of a pattern that is not fixed: names below it depend on nothing else."""
    parts = pattern.split("/") if is_uri(pattern) else pattern.split(os.sep)
    first = 3 if is_uri(pattern) else 0  # a scheme and a bucket are no pattern
    fixed = list(itertools.takewhile(lambda part: not is_pattern(part), parts[first:-1]))
    return ("/" if is_uri(pattern) else os.sep).join([*parts[:first], *fixed]) or (os.sep if parts[0] == "" else ".")


def match_files(pattern: str) -> list[str]:
    """The files that a pattern stands for. Names that braces spell out are given whether or not they are there.

    Raises:
        SourceError: it has wildcards on the web, where nothing can be listed, or a folder cannot be listed.
    """
    files: list[str] = []
    for name in map(absolute, expand_braces(pattern)):
        if not has_wildcards(name):
            files.append(name)
        elif scheme_of(name) in WEB:
            raise SourceError(
                f"source.path: {name!r} has wildcards, and folders on the web cannot be listed;"
                " spell the names out in braces such as {000..012}, or give a manifest"
            )
        elif is_uri(name) or "**" in name.split(os.sep):
            files += _match_below(fixed_folder(name), name)
        else:  # no need to walk through all that is below
            files += [file for file in glob.glob(name) if os.path.isfile(file)]
    return list(dict.fromkeys(files))


def _match_below(folder: str, pattern: str) -> list[str]:
    if not is_uri(folder) and not os.path.isdir(folder):
        return []
    wanted = pattern.removeprefix(folder).strip("/").split("/")
    spelled_out = "**" not in wanted or any(part.startswith(".") for part in wanted)
    files = scan_folder(folder, everything=spelled_out)
    names = relative_names(files, folder)
    return [file for file, name in zip(files, names, strict=True) if _matches(name.split("/"), wanted)]


def _matches(parts: Sequence[str], patterns: Sequence[str]) -> bool:
    """Whether the parts of a path fit those of a pattern, as `glob` sees it: `**` is any folders, hidden ones apart."""
    if not patterns or not parts:
        return not parts and all(pattern == "**" for pattern in patterns)
    if patterns[0] == "**":
        return _matches(parts, patterns[1:]) or (not parts[0].startswith(".") and _matches(parts[1:], patterns))
    if parts[0].startswith(".") and not patterns[0].startswith("."):
        return False
    return fnmatch.fnmatchcase(parts[0], patterns[0]) and _matches(parts[1:], patterns[1:])


def _braces(path: str) -> Iterator[re.Match[str]]:
    return (found for found in _BRACES.finditer(path) if "," in found[1] or _RANGE.fullmatch(found[1]))


def _choices(inside: str, path: str) -> list[str]:
    numbers = _RANGE.fullmatch(inside)
    if numbers is None:
        return inside.split(",")
    first, last, step = int(numbers[1]), int(numbers[2]), max(1, int(numbers[3] or 1))
    if abs(last - first) // step >= MAX_NAMES:
        raise _too_many(path)
    padded = any(len(text.lstrip("-")) > 1 and text.lstrip("-").startswith("0") for text in numbers.groups()[:2])
    width = max(len(numbers[1]), len(numbers[2])) if padded else 0
    way = 1 if last >= first else -1
    return [f"{number:0{width}d}" for number in range(first, last + way, way * step)]


def _too_many(path: str) -> SourceError:
    return SourceError(f"source.path: the braces of {path!r} stand for more than {MAX_NAMES:,} names; use a wildcard")
