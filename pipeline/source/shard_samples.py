"""One WebDataset shard → its samples."""

import json
import os
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, BinaryIO, cast

from pipeline.source.errors import SourceError
from pipeline.source.json_fields import FieldTypes
from pipeline.source.tar_index import Member, ShardError, read_members
from workers.files import RemoteFile, StorageUnavailableError, is_uri, open_file
from workers.files.ranged import Blocks, RangedFile
from workers.media.extensions import AUDIO_EXTENSIONS, VIDEO_EXTENSIONS

NO_MEDIA = "(sample without media)"

_MEDIA_EXTENSIONS = AUDIO_EXTENSIONS | VIDEO_EXTENSIONS
_DESCRIPTIONS = ("json", "txt", "cls")
_MAX_DESCRIPTION_BYTES = 16 << 20
_HEADER_BLOCK_BYTES = 64 << 10
"""What is fetched from a remote shard at once: between two headers lies a recording that is not wanted yet."""


@dataclass(slots=True)
class Row:
    """An item of a shard."""

    name: str
    """Comes after the shard's name."""
    member: Member | None = None
    """The recording; None if the item has failed."""
    error: str | None = None
    """Why it has."""
    texts: dict[str, str] = field(default_factory=dict)
    """Contents of the members that describe it, by extension."""


@dataclass(slots=True)
class ShardSamples:
    """What is in a shard."""

    rows: list[Row] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)
    types: FieldTypes = field(default_factory=FieldTypes)
    """Of the fields of the .json members."""


@dataclass(slots=True)
class _Sample:
    """Members with one key."""

    media: dict[str, Member] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)
    """Offsets of all members by extension."""
    problems: list[tuple[str, str]] = field(default_factory=list)
    """Name of a member, and what is wrong with it."""


def read_shard(path: str, extension: str | None = None) -> ShardSamples:
    """Finds the samples of a shard from its headers and the members that describe them.

    Args:
        path: of an uncompressed tar, local or a URI.
        extension: of the members that are recordings, `flac` or `left.wav`; by default all known extensions.

    Raises:
        SourceError: a sample has several recordings.
        workers.files.StorageUnavailableError: its store does not answer.
    """
    found, samples, last = ShardSamples(), dict[str, _Sample](), ""
    wanted = extension.lower().lstrip(".") if extension else None
    try:
        with closing(_open(path)) as file:
            for member in read_members(file):
                if not member.is_safe:
                    found.rows.append(Row(f"@{member.offset}", error=member.problem))
                    continue
                base = member.name.rpartition("/")[2]
                key, suffix = _key_and_extension(member.name)
                if not suffix:
                    found.ignored["(hidden)" if base.startswith(".") else "(no extension)"] += 1
                    continue
                last = key
                if not _add(samples.setdefault(key, _Sample()), member, suffix, wanted, file):
                    found.ignored[os.path.splitext(base)[1].lower()] += 1
    except StorageUnavailableError:
        raise
    except ShardError as error:
        reason = str(error)
        if not error.complete and (last or error.name):
            first_missing = _key_and_extension(error.name)[0] if error.name else last
            samples.pop(first_missing, None)
            reason += f"; listed are the {len(samples):,} samples before {first_missing!r}, which may be incomplete"
        found.rows.append(Row("", error=f"the shard {reason}"))
    except OSError as error:
        found.rows.append(Row("", error=f"the shard cannot be read: {error.strerror or error}"))
    for key, sample in samples.items():
        _finish(found, key, sample, path)
    return found


def _key_and_extension(name: str) -> tuple[str, str]:
    """What a member is called up to the first dot of its last part, and behind that; hidden files have no extension."""
    folder, slash, base = name.rpartition("/")
    stem, _, suffix = base.partition(".")
    return folder + slash + stem, suffix.lower() if stem else ""


def _open(path: str) -> BinaryIO:
    if not is_uri(path):
        return open_file(path)
    remote = RemoteFile(path)
    blocks = Blocks(remote.read, remote.size, block_bytes=_HEADER_BLOCK_BYTES)
    return cast(BinaryIO, RangedFile(blocks, on_close=remote.close))


def _add(sample: _Sample, member: Member, suffix: str, wanted: str | None, file: BinaryIO) -> bool:
    """Puts a member into its sample; False if it is of no use."""
    is_media = suffix == wanted if wanted else "." + suffix.rpartition(".")[2] in _MEDIA_EXTENSIONS
    if not is_media and suffix not in _DESCRIPTIONS:
        return False
    if member.problem:
        sample.problems.append((member.name, member.problem))
    elif suffix in sample.seen:
        places = f"at bytes {sample.seen[suffix]:,} and {member.offset:,}"
        sample.problems.append((member.name, f"member {member.name!r} stands twice in the shard, {places}"))
    elif is_media:
        sample.media[suffix] = member
    elif member.size > _MAX_DESCRIPTION_BYTES:
        sample.problems.append(
            (member.name, f"member {member.name!r} has {member.size:,} bytes; at most 16 MiB are read")
        )
    else:
        file.seek(member.offset)
        try:
            sample.texts[suffix] = file.read(member.size).decode()
        except UnicodeDecodeError as error:
            sample.problems.append((member.name, f"member {member.name!r} is not UTF-8 text: {error.reason}"))
    sample.seen.setdefault(suffix, member.offset)
    return True


def _finish(found: ShardSamples, key: str, sample: _Sample, path: str) -> None:
    """Makes a sample an item, good or failed, or counts it where it has no recording."""
    if len(sample.media) > 1:
        raise SourceError(
            f"source.path: sample {key!r} in {path} has {len(sample.media)} recordings, {', '.join(sample.media)};"
            " say which to take in source.member_extension"
        )
    media = next(iter(sample.media.values()), None)
    fields: dict[str, Any] = {}
    if "json" in sample.texts and (media is not None or sample.problems):
        try:
            fields = fields_of(sample.texts["json"])
            if "\\u" in sample.texts["json"]:  # half an emoji, as \ud83d by itself, is JSON, but cannot be stored
                json.dumps(fields, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            sample.problems.append((f"{key}.json", f"member '{key}.json' holds what is no Unicode text: {error}"))
        except (ValueError, RecursionError) as error:
            sample.problems.append((f"{key}.json", f"member '{key}.json' is not JSON: {error}"))
    if sample.problems:
        name = media.name if media is not None else sample.problems[0][0]
        found.rows.append(Row(f"/{name}", error="; ".join(problem for _, problem in sample.problems[:3])))
    elif media is None:
        found.ignored[NO_MEDIA] += 1
    else:
        found.types.add(fields)
        found.rows.append(Row(f"/{media.name}", media, texts=sample.texts))


def fields_of(text: str) -> dict[str, Any]:
    """The fields of a .json member; one that is no object is the value of a field `json`.

    Raises:
        ValueError, RecursionError: it is no JSON.
    """
    value = json.loads(text)
    return value if isinstance(value, dict) else {"json": value}
