from text.words import split_words


def test_split_words():
    assert split_words("one, two") == ["one", "two"]
