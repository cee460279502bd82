import tool


def test_wrong():
    assert tool.double(1) == 3


def test_right():
    assert tool.double(1) == 2


def test_wrong_again():
    assert tool.double(2) == 5
