from calc import Scale, double


def test_double():
    assert double(2) == 4


def test_scale():
    assert Scale(3).of(1) == 6
