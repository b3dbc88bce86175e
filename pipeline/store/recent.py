"""A bounded memory of what was used last."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recent(Generic[K, V]):
    """Keeps values up to a total size and forgets the one that was unused for longest."""

    def __init__(self, capacity: int, size: Callable[[V], int] = lambda _: 1) -> None:
        """Keep values whose `size`s add up to at most `capacity`; the latest is kept whatever its size."""
        self._capacity = capacity
        self._size = size
        self._kept: OrderedDict[K, V] = OrderedDict()
        self._used = 0

    def get(self, key: K, make: Callable[[], V]) -> V:
        """The value of `key`, made if it is not kept."""
        value = self._kept.get(key)
        if value is not None:
            self._kept.move_to_end(key)
            return value
        value = self._kept[key] = make()
        self._used += self._size(value)
        while self._used > self._capacity and len(self._kept) > 1:
            _, forgotten = self._kept.popitem(last=False)
            self._used -= self._size(forgotten)
        return value
