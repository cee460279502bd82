import asyncio
import os
import subprocess
import sys
import unittest

import pytest

from shop import prices


@pytest.mark.parametrize("given, expected", [([1, 2], 3), ([], 0), ([1], 2)])
def test_total(given, expected):
    print("adding", given)
    assert prices.total(given) == expected


class TestBasket:
    def test_count(self, basket):
        assert basket.count == 1

    def test_first(self, basket):
        assert basket.items[0] == "apple"


class Old(unittest.TestCase):
    def test_discount(self):
        self.assertEqual(prices.discount(10), 8)

    def test_parts(self):
        for value in (1, 2):
            with self.subTest(value=value):
                self.assertEqual(value, 1)


def test_later():
    assert asyncio.run(prices.later(3)) == 3


def test_check():
    prices.check(-1)


def test_program():
    shown = subprocess.run([sys.executable, "-m", "shop"], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "3"


def test_fork():
    child = os.fork()
    if child == 0:
        list(prices.countdown(1))
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.xfail(reason="not yet")
def test_expected_to_fail():
    assert prices.total([1]) == 2


@pytest.mark.skip(reason="not here")
def test_skipped():
    pass


def test_without_fixture(nowhere):
    pass


@pytest.fixture
def leaky():
    yield
    raise RuntimeError("left open")


def test_tear_down(leaky):
    pass
