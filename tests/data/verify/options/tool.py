def double(x):
    """
    >>> double(2)
    4
    """
    return x * 2


class TestSubject:
    """Looks like a test class; collecting it as one would warn, and warnings are errors here."""

    def __init__(self, name):
        self.name = name

    def shout(self):
        """
        >>> TestSubject("a").shout()
        'A'
        """
        return self.name.upper()
