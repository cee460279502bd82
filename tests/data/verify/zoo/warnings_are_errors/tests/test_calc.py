from calc import Scale, double


def test_double():
    assert double(2) == 4


def test_scale():
    assert Scale(3).of(1) == 6


def test_file_left_open(tmp_path):
    (tmp_path / 'x').write_text(str(double(1)))
    assert (tmp_path / 'x').read_text() == '2'
