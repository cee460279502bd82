"""Taking text apart."""

import re


def split_words(text: str) -> list[str]:
    """The words of a text, without what stands between them."""
    return re.findall(r"\w+", text)
