"""Tar archives, honest and hostile, and what a listing says about them."""

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline.source import list_source
from pipeline.source_spec import SourceSpec


def tar_bytes(members: dict[str, bytes | str | dict[str, Any] | tarfile.TarInfo], **options: Any) -> bytes:
    """An archive of these members; a dict is written as JSON, a TarInfo as it is, without data."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", **options) as archive:
        for name, content in members.items():
            if isinstance(content, tarfile.TarInfo):
                archive.addfile(content)
                continue
            data = json.dumps(content) if isinstance(content, dict) else content
            data = data.encode() if isinstance(data, str) else data
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


@pytest.fixture
def shard(tmp_path: Path) -> Callable[..., Path]:
    """Writes a shard of these members."""

    def write(members: dict[str, Any], name: str = "shard.tar", **options: Any) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(tar_bytes(members, **options))
        return path

    return write


def rows(path: object, **settings: Any) -> list[dict[str, Any]]:
    """The items of a source."""
    items: pa.Table = list_source(SourceSpec(path=path, **settings)).items
    return list(items.to_pylist())


@pytest.fixture
def listed() -> Callable[..., list[dict[str, Any]]]:
    """Lists a source."""
    return rows


class CountedFile(io.BytesIO):
    """A file that counts the bytes that are read from it."""

    num_bytes = 0

    def read(self, size: int | None = -1) -> bytes:
        """Some bytes."""
        data = super().read(size)
        self.num_bytes += len(data)
        return data


@pytest.fixture
def counted() -> Callable[[Path], CountedFile]:
    """Opens a file whose reads are counted."""
    return lambda path: CountedFile(path.read_bytes())
