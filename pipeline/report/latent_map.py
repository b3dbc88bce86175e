"""Units laid out so that those with similar latents, or mels, are near each other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

from pipeline.store.reader import LatentStore
from workers.tensor_column import TensorColumn

MAPPED = ("latent_mean", "latent_sample", "mel")
"""Which tensor the map is of: the first that there is, or any."""
BATCH = 16
"""Units whose tensors are in memory at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LatentMap:
    """A place for each of some units."""

    column: str
    ids: tuple[str, ...]
    places: tuple[tuple[float, float], ...]
    """From (0, 0) to (1, 1); both axes have the same scale."""
    explained: tuple[float, float]
    """Share of the variance along each axis."""
    num_units: int
    """Of the whole store."""


def mapped_column(tensors: Mapping[str, TensorColumn]) -> TensorColumn | None:
    """The tensor that a map is made of; none where the store has no numbers in tensors."""
    floats = {name: column for name, column in tensors.items() if np.dtype(column.dtype).kind == "f"}
    return next((floats[name] for name in MAPPED if name in floats), next(iter(floats.values()), None))


def map_units(
    store: LatentStore, column: TensorColumn, ids: Sequence[str], fractions: Mapping[str, float]
) -> LatentMap:
    """Maps units by the mean over time of their tensors, along the two directions in which those differ most (PCA).

    Args:
        store: Where they are.
        column: The tensor.
        ids: Units, at least one.
        fractions: How much of a unit's tensor is not padding; all of it where it is not said.
    """
    means: list[NDArray[np.float64]] = []
    for start in range(0, len(ids), BATCH):
        some = list(ids[start : start + BATCH])
        tensors = store.read(some, [column.name])[column.name]
        pairs = zip(some, tensors, strict=True)
        means += [time_mean(tensor, column.channel_axis, fractions.get(name, 1.0)) for name, tensor in pairs]
    places, explained = principal_plane(np.stack(means))
    return LatentMap(
        column=column.name,
        ids=tuple(ids),
        places=tuple((float(x), float(y)) for x, y in places.round(4).tolist()),
        explained=explained,
        num_units=len(store),
    )


def time_mean(tensor: NDArray[np.generic], channel_axis: int, fraction: float = 1.0) -> NDArray[np.float64]:
    """What a unit sounds like on the whole: its tensor without the axis of time.

        [audio channel …] [channel] [frame] [band …]  →  [channel · band], over true frames and all audio channels

    Args:
        tensor: Floating-point.
        channel_axis: As its column says.
        fraction: Of the frames, from the first on, that are not padding.

    Returns:
        float64; entries that are not finite are 0.
    """
    axis = channel_axis if channel_axis >= 0 else tensor.ndim + channel_axis
    values = np.nan_to_num(tensor.astype(np.float64), posinf=0.0, neginf=0.0)
    values = values.mean(axis=tuple(range(axis))) if axis else values
    if values.ndim > 1:
        num_frames = min(values.shape[1], max(1, ceil(values.shape[1] * fraction)))
        values = values[:, :num_frames].mean(axis=1)
    return np.asarray(values.reshape(-1))


def principal_plane(vectors: NDArray[np.float64]) -> tuple[NDArray[np.float64], tuple[float, float]]:
    """The first two principal components of vectors [n, d].

    A component's sign is free; here its largest entry is positive, so that the same vectors give the same picture.

    Returns:
        Places [n, 2] from 0 to 1, both axes on one scale; and the share of the variance along each.
    """
    centred = vectors - vectors.mean(axis=0)
    left, sizes, right = np.linalg.svd(centred, full_matrices=False)
    coordinates = np.zeros((len(vectors), 2))
    shares = [0.0, 0.0]
    total = float((sizes**2).sum())
    for axis in range(min(2, len(sizes))):
        if total > 0 and sizes[axis] > 1e-9 * sizes[0]:
            sign = np.sign(right[axis][np.argmax(np.abs(right[axis]).round(9))])
            coordinates[:, axis] = left[:, axis] * sizes[axis] * sign
            shares[axis] = round(float(sizes[axis] ** 2) / total, 4)
    low, high = coordinates.min(axis=0), coordinates.max(axis=0)
    extent = float((high - low).max())
    if extent > 0:
        coordinates = 0.5 + (coordinates - (low + high) / 2) / extent
    else:
        coordinates += 0.5
    return coordinates, (shares[0], shares[1])


def spread_out(places: Sequence[tuple[float, float]], count: int) -> list[int]:
    """Positions of up to `count` places far from one another: each next is the one farthest from all so far."""
    points = np.array(places)
    if len(points) <= count:
        return list(range(len(points)))
    chosen = [int(np.argmin(((points - points.mean(axis=0)) ** 2).sum(axis=1)))]
    nearest = ((points - points[chosen[0]]) ** 2).sum(axis=1)
    while len(chosen) < count:
        chosen.append(int(np.argmax(nearest)))
        nearest = np.minimum(nearest, ((points - points[chosen[-1]]) ** 2).sum(axis=1))
    return sorted(set(chosen))
