// The small projects that scenarios work on, and what their models answer.
const python = code => `\`\`\`python\n${code.trim()}\n\`\`\`\n`;

export const BASKET = 'shop/basket.py';

/** A stub with four tests; the Mother splits one helper off. */
export const basket = {
  files: {
    'pyproject.toml': '[project]\nname = "shop"\nversion = "1"\n[tool.pytest.ini_options]\ntestpaths = ["tests"]\n',
    'shop/__init__.py': '',
    [BASKET]: `"""Baskets of a small shop."""


def total(prices: list[float], discount: float) -> float:
    """The sum of the prices less the discount, in whole cents, halves up.

    The discount is a share between 0 and 1.
    """
    ...


def items(prices: list[float]) -> int:
    """How many things lie in the basket."""
    return len(prices)
`,
    'tests/test_basket.py': `from shop.basket import items, total


def test_empty() -> None:
    assert total([], 0.0) == 0


def test_sum() -> None:
    assert total([1.5, 2.25], 0.0) == 3.75


def test_discount() -> None:
    assert total([10.0], 0.25) == 7.5


def test_halves_go_up() -> None:
    assert total([0.125], 0.0) == 0.13


def test_items() -> None:
    assert items([1.0, 2.0]) == 2
`,
  },
  answers: {
    [`${BASKET}::total`]: {
      skeleton: [
        python(`
def total(prices: list[float], discount: float) -> float:
    return _cents(sum(prices) * (1 - discount))


def _cents(amount: float) -> float:
    """The amount in whole cents, halves up.

    >>> _cents(0.125)
    0.13
    """
    ...
`),
      ],
    },
    [`${BASKET}::_cents`]: {
      code: [
        python(`
from math import floor


def _cents(amount: float) -> float:
    return floor(amount * 100 + 0.5) / 100
`),
      ],
    },
    '*': { '*': ['Nothing to add.'] },
  },
};
