"""As plugins of frameworks do: it sets up the project before a test file is imported."""

import calc


def pytest_configure(config):
    calc.FACTOR = 1
