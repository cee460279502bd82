"""Prices of a small shop."""

import asyncio
import functools


def cached(function):
    @functools.wraps(function)
    def wrapper(*args):
        return function(*args)

    return wrapper


@cached
def total(prices):
    """Add up.

    >>> total([1, 2])
    3
    """
    return sum(prices)


def discount(price):
    """
    >>> discount(10)
    9.0
    >>> discount("x")
    Traceback (most recent call last):
    TypeError: no price
    """
    if isinstance(price, str):
        raise TypeError("no price")
    return price * 0.9


class Basket:
    def __init__(self):
        self.items = []

    def add(self, item):
        self.items.append(item)
        return self

    @property
    def count(self):
        return len(self.items)


def countdown(start):
    while start:
        yield start
        start -= 1


async def later(value):
    await asyncio.sleep(0)
    return value


def check(value):
    if value < 0:
        raise ValueError("negative") from KeyError("value")
    return value
