import pytest
from calc import Scale, double

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
async def scale():
    yield Scale(3)


async def test_double():
    assert double(2) == 4


async def test_scale(scale):
    assert scale.of(1) == 6
