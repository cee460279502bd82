import pytest

from calc import double


@pytest.fixture
def four():
    return double(2)
