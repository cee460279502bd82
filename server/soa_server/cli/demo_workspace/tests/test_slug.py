from text.slug import slugify


def test_words_are_joined():
    assert slugify("Tea for Two") == "tea-for-two"


def test_punctuation_goes():
    assert slugify("Salt & Pepper, please") == "salt-pepper-please"


def test_nothing_stays_nothing():
    assert slugify("") == ""


def test_long_titles_are_cut():
    assert slugify("marmalade", limit=6) == "marmal"


def test_accents_are_dropped():
    assert slugify("Crème Brûlée") == "creme-brulee"


def test_no_hyphen_at_the_cut():
    assert slugify("green tea", limit=6) == "green"
