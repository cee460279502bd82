"""The stock of a small shop: how many pieces there are of each item.

take_in(stock, item, count) gives back the stock with so many pieces more, and leaves the old one as it was:

    >>> take_in({"tea": 2}, "tea", 3)
    {'tea': 5}

sell(stock, item, count) gives back the stock with so many pieces less. It raises ValueError when there are
not enough of them. An item that is sold out is no longer listed:

    >>> sell({"tea": 2, "jam": 1}, "jam", 1)
    {'tea': 2}

running_low(stock, least) lists the items of which fewer than `least` pieces are left, by name.
"""
