"""Orders and their prices, in whole cents."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from shop.clock import retried
from shop.stock import OutOfStockError, Stock

FREE_SHIPPING_FROM = 5000


@dataclass(frozen=True)
class Line:
    """So many pieces of an article at a price."""

    name: str
    count: int
    cents: int


@dataclass(frozen=True)
class Order:
    """What a customer wants."""

    lines: tuple[Line, ...]
    voucher: int = 0

    @cached_property
    def total(self) -> int:
        """Cents to pay: goods less the voucher in percent (rounded down), shipping of 490 below the limit.

        An empty order costs nothing.
        """
        goods = sum(line.count * line.cents for line in self.lines)
        if not goods:
            return 0
        goods -= goods * self.voucher // 100
        return goods if goods >= FREE_SHIPPING_FROM else goods + 490

    @classmethod
    def parse(cls, text: str) -> Order:
        """Read an order such as "2 x pear @ 30, 1 x plum @ 45, -10%".

        Raises ValueError for a line that has another form.
        """
        lines: list[Line] = []
        voucher = 0
        for part in (p.strip() for p in text.split(",")):
            if part.startswith("-") and part.endswith("%"):
                voucher = int(part[1:-1])
                continue
            count, _, rest = part.partition(" x ")
            name, at, cents = rest.partition(" @ ")
            if not at:
                raise ValueError(f"not an order line: {part!r}")
            lines.append(Line(name.strip(), int(count), int(cents)))
        return cls(tuple(lines), voucher)


async def take(order: Order, stock: Stock) -> list[str]:
    """Reserve every line of the order; the names of articles that were not there are returned.

    When anything is missing, everything the order had reserved is given back.
    """
    done: list[Line] = []
    missing: list[str] = []
    for line in order.lines:
        try:
            await stock.reserve(line.name, line.count)
            done.append(line)
        except OutOfStockError:
            missing.append(line.name)
    if missing:
        for line in done:
            await stock.release(line.name, line.count)
    return missing


@retried(3)
async def pay(order: Order, bank: Bank) -> str:
    """Have the bank collect the order's total; returns its receipt, "" where nothing is due."""
    if order.total == 0:
        return ""
    return await bank.collect(order.total)


class Bank:
    """A bank that fails as often as it is told before it answers."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.calls = 0

    async def collect(self, cents: int) -> str:
        """The receipt for so many cents."""
        self.calls += 1
        if self.calls <= self.failures:
            raise ConnectionError("the line is down")
        return f"paid {cents}"


def summary(orders: Iterable[Order]) -> str:
    """One line an order: its articles in order of name, joined by " + ", then its total in euros.

    >>> summary([Order((Line("pear", 2, 3000), Line("fig", 1, 10)))])
    'fig + pear: 60.10'
    """
    return "\n".join(
        f"{' + '.join(sorted(line.name for line in order.lines))}: {order.total / 100:.2f}"
        for order in orders
    )
