"""What lies on the shelves."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping


class OutOfStockError(Exception):
    """There is not enough of an article."""


class Stock:
    """Articles and how many of each are there; safe for concurrent orders."""

    def __init__(self, counts: Mapping[str, int]) -> None:
        self._counts = dict(counts)
        self._reserved: dict[str, int] = {}
        self._lock = asyncio.Lock()

    @property
    def free(self) -> dict[str, int]:
        """How many of each article nobody has reserved; articles with none left are missing."""
        left = {name: count - self._reserved.get(name, 0) for name, count in self._counts.items()}
        return {name: count for name, count in left.items() if count > 0}

    async def reserve(self, name: str, count: int = 1) -> int:
        """Set `count` pieces of an article aside; returns how many are still free.

        Raises OutOfStockError, and reserves nothing, when there are fewer.
        """
        async with self._lock:
            left = self.free.get(name, 0)
            await asyncio.sleep(0)
            if count > left:
                raise OutOfStockError(f"{name}: {count} wanted, {left} there")
            self._reserved[name] = self._reserved.get(name, 0) + count
            return left - count

    async def release(self, name: str, count: int = 1) -> None:
        """Give back reserved pieces; never more than were reserved."""
        async with self._lock:
            left = max(0, self._reserved.get(name, 0) - count)
            self._reserved[name] = left

    def shelves(self, width: int) -> Iterator[tuple[str, ...]]:
        """Yield the names of articles in alphabetical order, `width` to a shelf."""
        names = sorted(self._counts)
        for start in range(0, len(names), width):
            yield tuple(names[start : start + width])
