from shop.prices import countdown


def test_countdown():
    assert list(countdown(2)) == [2, 1]
