"""Columns of a training loop: drawn, scaled, and no more than asked for."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.store.reader import LatentStore
from pipeline.store.training_batch import TrainingColumns, scale_latents
from pipeline.store.writer import PartWriter


def test_drawn_latents_stand_for_the_moments(store: Path) -> None:
    opened = LatentStore(store)
    batch = TrainingColumns(opened, None, draw_seed=5, scale=False).read([3, 1], 2)
    assert list(batch) == [*(name for name in opened.columns if name[:7] != "latent_"), "latent"]
    np.testing.assert_array_equal(batch["latent"], opened.sample([3, 1], seed=5, epoch=2))


def test_moments_that_are_asked_for_stay(store: Path) -> None:
    columns = TrainingColumns(LatentStore(store), ["latent_logvar", "label"], draw_seed=5, scale=False)
    assert list(columns.read([0], 0)) == ["latent_logvar", "label", "latent"]


def test_each_column_is_read_once(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, asked = LatentStore(store), []
    read = opened.read
    monkeypatch.setattr(opened, "read", lambda keys, names: asked.append(names) or read(keys, names))
    TrainingColumns(opened, ["latent_mean", "seed"], draw_seed=0, scale=False).read([0, 1], 0)
    assert asked == [["latent_mean", "seed", "latent_logvar"]]


@pytest.mark.parametrize("variable_length", [False, True])
def test_scaled_draw_has_unit_variance(tmp_path: Path, moments: Any, variable_length: bool) -> None:
    schema = moments.schema((4, 60), variable_length=variable_length)
    table = moments.table(range(50), shape=(4, 60), variable_length=variable_length)
    PartWriter(str(tmp_path), schema, durable=False).commit(table)
    opened = LatentStore(tmp_path)
    latents = TrainingColumns(opened, ["label"], draw_seed=1, scale=True).read(range(50), 0)["latent"]
    flat = np.concatenate([latent.ravel() for latent in latents])
    assert flat.dtype == np.float32
    assert flat.std() == pytest.approx(1, rel=0.03)  # 12,000 values
    plain = opened.sample([7], seed=1, epoch=0)[0]
    np.testing.assert_allclose(latents[7], plain * opened.statistics.scale_factor, rtol=1e-6)


def test_moments_are_scaled_alike() -> None:
    batch = {"latent_mean": np.float16([[2]]), "latent_logvar": np.float16([[-1]]), "label": [3]}
    scaled = scale_latents(batch, 0.5)
    assert (scaled["latent_mean"].dtype, scaled["latent_logvar"].dtype) == (np.float32, np.float32)
    assert scaled["latent_mean"].item() == 1
    assert math.exp(scaled["latent_logvar"].item()) == pytest.approx(math.exp(-1) * 0.25)
    assert scaled["label"] == [3]
    assert batch["latent_mean"].item() == 2


def test_store_that_suggests_no_factor(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with pytest.raises(ValueError, match="suggests no scale factor: it holds no latents"):
        TrainingColumns(LatentStore(tmp_path), None, draw_seed=None, scale=True)
