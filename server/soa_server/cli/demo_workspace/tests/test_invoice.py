from billing.invoice import Line, is_overdue, total_due


def test_lines_are_summed():
    assert total_due([Line(2, 500), Line(1, 250)], "new", "US") == 1250


def test_ten_pieces_are_cheaper():
    assert total_due([Line(10, 99)], "new", "US") == 941


def test_discount_is_rounded():
    assert total_due([Line(1, 1999)], "gold", "US") == 1799


def test_tax_comes_after_the_discount():
    assert total_due([Line(3, 1000)], "silver", "DE") == 3392


def test_overdue():
    assert is_overdue(15)
    assert not is_overdue(14)
