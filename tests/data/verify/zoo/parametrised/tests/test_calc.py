import pytest

from calc import Scale, double


@pytest.fixture(scope="module", params=[1, 3])
def scale(request):
    return Scale(request.param)


class TestScale:
    @pytest.mark.parametrize("value", [0, 1, "a-b"])
    def test_double(self, value):
        assert double(value) == value * 2

    def test_of(self, scale):
        assert scale.of(1) == 2 * scale.factor

    @pytest.mark.xfail(strict=True)
    def test_wrong(self):
        assert double(2) == 6
