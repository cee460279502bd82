import asyncio

import pytest
from shop.stock import OutOfStockError, Stock


def test_free_leaves_out_what_is_gone():
    async def use():
        stock = Stock({"pear": 2, "fig": 1, "plum": 0})
        await stock.reserve("fig")
        return stock.free

    assert asyncio.run(use()) == {"pear": 2}


def test_reserve_says_what_is_left():
    async def use():
        stock = Stock({"pear": 3})
        return await stock.reserve("pear", 2), await stock.reserve("pear")

    assert asyncio.run(use()) == (1, 0)


@pytest.mark.parametrize(("name", "count"), [("pear", 4), ("kiwi", 1)])
def test_reserve_refuses_more_than_there_is(name, count):
    async def use():
        stock = Stock({"pear": 3})
        with pytest.raises(OutOfStockError, match=name):
            await stock.reserve(name, count)
        return stock.free

    assert asyncio.run(use()) == {"pear": 3}


def test_concurrent_orders_never_share_a_piece():
    async def use():
        stock = Stock({"pear": 5})
        results = await asyncio.gather(*(stock.reserve("pear") for _ in range(8)), return_exceptions=True)
        return sum(isinstance(result, OutOfStockError) for result in results)

    assert asyncio.run(use()) == 3


def test_release_gives_back_at_most_what_was_reserved():
    async def use():
        stock = Stock({"pear": 3})
        await stock.reserve("pear", 2)
        await stock.release("pear")
        before = stock.free
        await stock.release("pear", 9)
        return before, stock.free

    assert asyncio.run(use()) == ({"pear": 2}, {"pear": 3})


def test_shelves():
    stock = Stock({"pear": 1, "fig": 1, "plum": 0})
    assert list(stock.shelves(2)) == [("fig", "pear"), ("plum",)]
    assert next(stock.shelves(1)) == ("fig",)
