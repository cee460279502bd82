import asyncio

import pytest
from shop.clock import batches, gather_limited, held, retried


async def numbers(end):
    for number in range(end):
        yield number


def test_retried_calls_until_it_answers():
    calls = []

    @retried(3)
    async def fetch(key):
        """Fetch it."""
        calls.append(key)
        if len(calls) < 3:
            raise ConnectionError
        return f"got {key}"

    assert asyncio.run(fetch("k")) == "got k"
    assert calls == ["k", "k", "k"]
    assert fetch.__doc__ == "Fetch it."


def test_retried_raises_the_last_error():
    @retried(2)
    async def fetch():
        raise ConnectionError("still down")

    with pytest.raises(ConnectionError, match="still down"):
        asyncio.run(fetch())


def test_retried_lets_other_errors_through():
    calls = []

    @retried(5)
    async def fetch():
        calls.append(1)
        raise KeyError("no")

    with pytest.raises(KeyError):
        asyncio.run(fetch())
    assert calls == [1]


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_gather_limited_keeps_order_and_limit(limit):
    running, most = 0, 0

    async def job(number):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001 * (5 - number))
        running -= 1
        return number

    jobs = [lambda n=n: job(n) for n in range(5)]
    assert asyncio.run(gather_limited(limit, jobs)) == [0, 1, 2, 3, 4]
    assert most == limit


@pytest.mark.parametrize(
    ("end", "size", "expected"),
    [(0, 2, []), (4, 2, [[0, 1], [2, 3]]), (5, 3, [[0, 1, 2], [3, 4]])],
)
def test_batches(end, size, expected):
    async def collect():
        return [batch async for batch in batches(numbers(end), size)]

    assert asyncio.run(collect()) == expected


def test_held_logs_and_releases():
    async def use():
        lock, log = asyncio.Lock(), []
        async with held(lock, log):
            assert lock.locked()
        with pytest.raises(RuntimeError):
            async with held(lock, log):
                raise RuntimeError
        return lock.locked(), log

    assert asyncio.run(use()) == (False, ["in", "out", "in", "out"])
