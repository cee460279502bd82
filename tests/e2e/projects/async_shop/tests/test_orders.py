import asyncio

import pytest
from shop.orders import Bank, Line, Order, pay, summary, take
from shop.stock import Stock


@pytest.mark.parametrize(
    ("lines", "voucher", "total"),
    [
        ((), 0, 0),
        ((Line("pear", 2, 30),), 0, 550),
        ((Line("pear", 1, 5000),), 0, 5000),
        ((Line("pear", 1, 5000),), 1, 5440),
        ((Line("pear", 1, 9999),), 10, 9000),
    ],
)
def test_total(lines, voucher, total):
    assert Order(lines, voucher).total == total


def test_parse():
    order = Order.parse("2 x pear @ 30, 1 x plum @ 45, -10%")
    assert order == Order((Line("pear", 2, 30), Line("plum", 1, 45)), 10)


def test_parse_refuses_other_forms():
    with pytest.raises(ValueError, match="two pears"):
        Order.parse("two pears")


def test_take_reserves_everything():
    async def use():
        stock = Stock({"pear": 2, "fig": 1})
        missing = await take(Order((Line("pear", 1, 1), Line("fig", 1, 1))), stock)
        return missing, stock.free

    assert asyncio.run(use()) == ([], {"pear": 1})


def test_take_gives_back_when_anything_is_missing():
    async def use():
        stock = Stock({"pear": 2, "fig": 1})
        missing = await take(Order((Line("pear", 2, 1), Line("fig", 2, 1), Line("kiwi", 1, 1))), stock)
        return missing, stock.free

    assert asyncio.run(use()) == (["fig", "kiwi"], {"pear": 2, "fig": 1})


def test_pay_tries_again():
    bank = Bank(failures=2)
    assert asyncio.run(pay(Order((Line("pear", 1, 6000),)), bank)) == "paid 6000"
    assert bank.calls == 3


def test_pay_leaves_the_bank_alone_when_nothing_is_due():
    bank = Bank()
    assert asyncio.run(pay(Order(()), bank)) == ""
    assert bank.calls == 0


def test_summary():
    orders = [Order((Line("pear", 1, 6000), Line("fig", 1, 5))), Order((Line("plum", 1, 100),))]
    assert summary(orders) == "fig + pear: 60.05\nplum: 5.90"
