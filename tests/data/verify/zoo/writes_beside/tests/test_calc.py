from calc import Scale, double


def test_double():
    assert double(2) == 4


def test_scale():
    assert Scale(3).of(1) == 6


def test_writes():
    from pathlib import Path

    place = Path(__file__).with_name("seen.txt")
    assert not place.exists()
    place.write_text(str(double(1)))
