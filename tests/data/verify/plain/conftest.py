import pytest

from shop.prices import Basket


@pytest.fixture(scope="session")
def basket():
    return Basket().add("apple")
