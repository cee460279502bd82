from calc.core import Scale, double

__all__ = ["Scale", "double"]
