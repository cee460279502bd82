"""What is tested."""


def double(value):
    """Twice the value.

    >>> double(2)
    4
    """
    return value * 2


class Scale:
    def __init__(self, factor):
        self.factor = factor

    def of(self, value):
        return double(value) * self.factor
