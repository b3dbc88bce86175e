"""The same batches in the same order, whatever reads them and wherever it begins."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from pipeline.store.manifest import Manifest, save_manifest
from pipeline.store.reader import LatentStore
from pipeline.store.shuffle import epoch_order, rank_order
from pipeline.store.torch_data import LatentBatches, LatentDataset, LatentLoader


def ids(batches: Any) -> list[list[str]]:
    return [batch["sample_id"] for batch in batches]


def test_map_style_with_torch_loader(store: Path, moments: Any) -> None:
    dataset = LatentDataset(LatentStore(store), ["sample_id", "latent_mean", "label"])
    assert len(dataset) == 50
    assert dataset[3]["label"] == 3
    batches = list(DataLoader(dataset, batch_size=20))
    assert [len(batch["sample_id"]) for batch in batches] == [20, 20, 10]
    assert batches[1]["latent_mean"].shape == (20, 4, 6)
    assert batches[1]["latent_mean"].dtype == torch.float16
    np.testing.assert_array_equal(batches[1]["latent_mean"][5].numpy(), moments.value("latent_mean", 25))


def test_every_epoch_is_another_order_of_all_units(store: Path) -> None:
    loader = LatentLoader(LatentStore(store), 8, ["sample_id"], seed=3)
    assert len(loader) == 7
    first, second = ids(loader), ids(loader)
    assert loader.epoch == 2
    assert sorted(flat(first)) == sorted(flat(second)) == [f"clip-{row:05d}" for row in range(50)]
    assert first != second
    assert ids(LatentLoader(LatentStore(store), 8, ["sample_id"], seed=3)) == first
    assert ids(LatentLoader(LatentStore(store), 8, ["sample_id"], seed=4)) != first
    assert flat(ids(LatentLoader(LatentStore(store), 8, ["sample_id"], shuffle=False)))[:2] == [
        "clip-00000",
        "clip-00001",
    ]


def flat(lists: list[list[str]]) -> list[str]:
    return list(itertools.chain.from_iterable(lists))


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize(("num_workers", "context"), [(1, "fork"), (3, "fork"), (2, "spawn")])
def test_workers_do_not_change_the_batches(store: Path, num_workers: int, context: str) -> None:
    options: dict[str, Any] = {"seed": 1, "draw": True}
    columns = ["sample_id", "latent_mean"]
    alone = list(LatentLoader(LatentStore(store), 6, columns, **options))
    opened = LatentStore(store)
    opened[0]  # mapped before the fork
    loader = LatentLoader(opened, 6, columns, num_workers=num_workers, multiprocessing_context=context, **options)
    together = list(loader)
    assert ids(together) == ids(alone)
    for one, other in zip(alone, together, strict=True):
        assert torch.equal(one["latent_mean"], other["latent_mean"])
        assert torch.equal(one["latent"], other["latent"])


@pytest.mark.parametrize(("before", "after"), [(0, 0), (2, 2), (0, 2)])
@pytest.mark.parametrize("seen", [0, 1, 4, 6])
def test_resume_mid_epoch_is_exact(store: Path, before: int, after: int, seen: int) -> None:
    whole = LatentLoader(LatentStore(store), 7, ["sample_id"], seed=5)
    expected = ids(whole) + ids(whole)
    broken_off = LatentLoader(LatentStore(store), 7, ["sample_id"], seed=5, num_workers=before)
    batches = iter(broken_off)
    found = [next(batches)["sample_id"] for _ in range(seen)]
    state = broken_off.state_dict()
    assert state["next_batch"] == seen
    resumed = LatentLoader(LatentStore(store), 7, ["sample_id"], seed=5, num_workers=after)
    resumed.load_state_dict(state)
    assert resumed.state_dict() == state
    found += ids(resumed) + ids(resumed)
    assert found == expected


def test_state_after_the_last_batch_begins_the_next_epoch(store: Path) -> None:
    loader = LatentLoader(LatentStore(store), 25, ["sample_id"])
    batches = iter(loader)
    next(batches), next(batches)
    state = loader.state_dict()
    resumed = LatentLoader(LatentStore(store), 25, ["sample_id"])
    resumed.load_state_dict(state)
    assert ids(resumed) == []
    assert resumed.epoch == 1


def test_an_epoch_that_is_broken_off_starts_over(store: Path) -> None:
    loader = LatentLoader(LatentStore(store), 7, ["sample_id"])
    first = next(iter(loader))
    assert next(iter(loader)) == first


def test_state_of_another_loader_is_refused(store: Path) -> None:
    state = LatentLoader(LatentStore(store), 7, seed=5).state_dict()
    with pytest.raises(ValueError, match="the state is of a loader with batch_size 7, this one has 8"):
        LatentLoader(LatentStore(store), 8, seed=5).load_state_dict(state)
    others: list[dict[str, Any]] = [
        {"world_size": 2}, {"seed": 6}, {"shuffle": False}, {"uneven": "pad"}, {"drop_last": True}, {"draw": True},
        {"scale": True},
    ]  # fmt: skip
    for other in others:
        ((name, value),) = other.items()
        with pytest.raises(ValueError, match=rf"a loader with {name} \S+, this one has {value}: batch 0 would be"):
            LatentLoader(LatentStore(store), 7, **{"seed": 5, **other}).load_state_dict(state)


def test_state_of_another_store_is_refused(store: Path, moments: Any) -> None:
    def loader(identity: str, digest: str | None) -> LatentLoader:
        manifest = Manifest.start(kind="encode", identity=identity, schema=moments.schema(), environment={})
        save_manifest(str(store), manifest.revise(content_digest=digest))
        return LatentLoader(LatentStore(store), 7)

    without = LatentLoader(LatentStore(store), 7).state_dict()
    state = loader("a", "1f").state_dict()
    assert (state["identity"], state["content_digest"]) == ("a", "1f")
    with pytest.raises(ValueError, match="a loader with identity a, this one has b"):
        loader("b", "1f").load_state_dict(state)
    with pytest.raises(ValueError, match="a loader with content_digest 1f, this one has 2e"):
        loader("a", "2e").load_state_dict(state)
    loader("a", None).load_state_dict(state)  # not yet known
    loader("a", "1f").load_state_dict(without)


def test_dataset_ends_after_the_last_unit(store: Path) -> None:
    dataset = LatentDataset(LatentStore(store), ["sample_id"])
    with pytest.raises(IndexError, match="position 50 is not in"):
        dataset[50]
    assert [unit["sample_id"] for unit in dataset] == [f"clip-{row:05d}" for row in range(50)]


def test_default_columns_of_a_draw(store: Path) -> None:
    opened = LatentStore(store)
    (batch,) = LatentLoader(opened, 50, draw=True, scale=True, shuffle=False)
    assert {name for name in batch if name.startswith("latent")} == {"latent"}
    expected = opened.sample(range(50), seed=0, epoch=0) * np.float32(opened.statistics.scale_factor)
    np.testing.assert_array_equal(batch["latent"].numpy(), expected)
    (stored,) = LatentLoader(opened, 50, ["latent_mean"], scale=True, shuffle=False)
    assert stored["latent_mean"].dtype == torch.float32
    unit = LatentDataset(opened, draw_seed=0, scale=True)[4]
    assert torch.equal(unit["latent"], batch["latent"][4])


@pytest.mark.parametrize(("uneven", "share"), [("drop", 16), ("pad", 17)])
def test_ranks_read_equally_many(store: Path, uneven: Any, share: int) -> None:
    opened = LatentStore(store)
    ranks = [
        flat(ids(LatentBatches(opened, 4, ["sample_id"], rank=rank, world_size=3, uneven=uneven, seed=2)))
        for rank in range(3)
    ]
    assert [len(rank) for rank in ranks] == [share] * 3
    together = flat(ranks)
    assert len(set(together)) == min(50, 3 * share)
    assert len(LatentBatches(opened, 4, rank=0, world_size=3, uneven=uneven)) == -(-share // 4)


def test_fewer_units_than_ranks() -> None:
    order = epoch_order(2, shuffle=True, seed=0, epoch=0)
    assert [len(rank_order(order, rank=rank, world_size=5, uneven="pad")) for rank in range(5)] == [1] * 5
    assert [len(rank_order(order, rank=rank, world_size=5, uneven="drop")) for rank in range(5)] == [0] * 5


def test_drop_last(store: Path) -> None:
    batches = LatentBatches(LatentStore(store), 8, ["sample_id"], drop_last=True)
    assert [len(batch) for batch in ids(batches)] == [8] * 6 == [8] * len(batches)


def test_draw_follows_the_epoch(store: Path) -> None:
    opened = LatentStore(store)
    loader = LatentLoader(opened, 50, ["sample_id"], shuffle=False, draw=True, seed=9)
    for epoch in range(2):
        (batch,) = loader
        np.testing.assert_array_equal(batch["latent"].numpy(), opened.sample(range(50), seed=9, epoch=epoch))
    dataset = LatentDataset(opened, ["sample_id"], draw_seed=9)
    dataset.set_epoch(1)
    assert torch.equal(dataset[4]["latent"], batch["latent"][4])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0; it must be at least 1"),
        ({"batch_size": 4, "rank": 2, "world_size": 2}, "rank is 2 with world_size 2; it must be from 0 to 1"),
        ({"batch_size": 4, "uneven": "keep"}, "uneven is 'keep'; it must be 'drop' or 'pad'"),
    ],
)
def test_options_out_of_range(store: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LatentBatches(LatentStore(store), **options)


def test_store_without_units(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    assert list(LatentLoader(LatentStore(tmp_path), 4, ["latent_mean"])) == []
