"""Mean and spread of each channel of a store's tensors, as a drawing."""

from dataclasses import dataclass

from pipeline.report.histogram import Axis, axis_of
from pipeline.store.statistics import StoreStatistics
from workers.tensor_column import TensorColumn


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelDrawing:
    """The channels of one tensor."""

    tensor: TensorColumn
    count: int
    """Finite values."""
    channels: tuple[tuple[int, float, float], ...]
    """Number, mean and standard deviation of each that has any value."""
    axis: Axis
    """Of the values; goes upwards."""


def draw_channels(statistics: StoreStatistics, tensors: dict[str, TensorColumn]) -> tuple[ChannelDrawing, ...]:
    """A drawing for each tensor with statistics."""
    drawings = []
    for name, column in statistics.columns.items():
        pairs = zip(column.mean, column.std, strict=True)
        known = tuple((n, mean, std) for n, (mean, std) in enumerate(pairs) if mean is not None and std is not None)
        if known and name in tensors:
            low, high = min(mean - std for _, mean, std in known), max(mean + std for _, mean, std in known)
            axis = axis_of(low, high)
            drawings.append(ChannelDrawing(tensor=tensors[name], count=column.count, channels=known, axis=axis))
    return tuple(drawings)
