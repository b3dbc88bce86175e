"""Damaged files of tensors are told, not run and not crashed on."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from workers.models.saved_tensors import read_pickled, read_safetensors

TENSORS = {"layer.weight": torch.arange(12.0).view(3, 4), "layer.bias": torch.ones(3), "other": torch.zeros(2)}


def test_both_formats_give_what_was_saved(tmp_path: Path) -> None:
    torch.save({"state": TENSORS, "text": "a: 1"}, tmp_path / "model.bin")
    save_file(TENSORS, tmp_path / "model.safetensors")
    for lazily in (False, True):
        held = read_pickled(tmp_path / "model.bin", lazily=lazily)
        assert held["text"] == "a: 1"
        assert all(torch.equal(held["state"][name], tensor) for name, tensor in TENSORS.items())
    found = read_safetensors(tmp_path / "model.safetensors", prefix="layer.")
    assert found.keys() == {"layer.weight", "layer.bias"}


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("name", ["zip.bin", "legacy.bin", "model.safetensors"])
def test_whatever_bytes_change_it_is_read_or_told(tmp_path: Path, name: str) -> None:
    file, rng = tmp_path / name, np.random.default_rng(7)
    if name == "model.safetensors":
        save_file(TENSORS, file)
    else:
        torch.save(TENSORS, file, _use_new_zipfile_serialization=name == "zip.bin")
    whole, told = file.read_bytes(), 0
    for _ in range(150):
        data = bytearray(whole[: rng.integers(len(whole))] if rng.random() < 0.3 else whole)
        for place in rng.integers(max(1, len(data)), size=4):
            data[place : place + 1] = rng.bytes(1)
        file.write_bytes(data)
        try:
            read_safetensors(file) if name == "model.safetensors" else read_pickled(file)
        except ValueError as error:
            assert "is cut short or damaged" in str(error)  # noqa: PT017 (some are still whole)
            told += 1
    assert told > 40
