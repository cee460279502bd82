"""Waiting and trying again."""

import asyncio
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def retried(times: int) -> Callable[[Callable[P, Awaitable[T]]], Callable[P, Awaitable[T]]]:
    """Let a coroutine function try up to `times` times while it raises ConnectionError.

    The last error is raised when every attempt failed.
    """

    def decorate(function: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
        @functools.wraps(function)
        async def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
            """Call the function until it answers."""
            for attempt in range(times):
                try:
                    return await function(*args, **kwargs)
                except ConnectionError:
                    if attempt == times - 1:
                        raise
                    await asyncio.sleep(0)
            raise ValueError("times must be at least 1")

        return wrapper

    return decorate


async def gather_limited(limit: int, jobs: Iterable[Callable[[], Awaitable[T]]]) -> list[T]:
    """Run all `jobs`, at most `limit` of them at once; results come in the order of the jobs."""
    gate = asyncio.Semaphore(limit)

    async def one(job: Callable[[], Awaitable[T]]) -> T:
        async with gate:
            return await job()

    return list(await asyncio.gather(*(one(job) for job in jobs)))


async def batches(source: AsyncIterator[T], size: int) -> AsyncIterator[list[T]]:
    """Yield lists of `size` items from an asynchronous iterator; the last one may be shorter."""
    batch: list[T] = []
    async for item in source:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


@asynccontextmanager
async def held(lock: asyncio.Lock, log: list[str]) -> AsyncIterator[None]:
    """Hold the lock inside the block; `log` gets "in" and "out", the latter also after an error."""
    async with lock:
        log.append("in")
        try:
            yield
        finally:
            log.append("out")
