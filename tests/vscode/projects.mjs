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

export const SLUG = 'text/slug.py';
const WRONG = `"""Slugs."""


def slugify(title: str) -> str:
    """Lower case words of letters and digits, joined by single hyphens."""
    return title.lower().replace(" ", "-")
`;

/** A function with a body that fails two of its three tests. */
export const slug = {
  files: {
    'pyproject.toml': basket.files['pyproject.toml'],
    'text/__init__.py': '',
    [SLUG]: WRONG,
    'tests/test_slug.py': `from text.slug import slugify


def test_words() -> None:
    assert slugify("Two Words") == "two-words"


def test_marks() -> None:
    assert slugify("Well, then?") == "well-then"


def test_blanks() -> None:
    assert slugify("  a   b ") == "a-b"
`,
  },
  answers: {
    [`${SLUG}::slugify`]: {
      '*': [
        python(`
import re


def slugify(title: str) -> str:
    return "-".join(re.findall(r"[a-z0-9]+", title.lower()))
`),
      ],
    },
  },
};

export const STOCK = 'shop/stock.py';

/** A module that is only a docstring, and the stubs that come of it. */
export const stock = {
  files: {
    'pyproject.toml': basket.files['pyproject.toml'],
    'shop/__init__.py': '',
    [STOCK]: `"""The stock of a shop.

\`add(stock, name, number)\` returns the stock with so many more of a thing; \`missing(stock, names)\` lists the
names that are not in stock, in their order.
"""
`,
    'tests/test_stock.py': `import shop.stock


def test_there() -> None:
    assert shop.stock.__doc__
`,
  },
  answers: {
    '*': {
      stubs: [
        python(`
def add(stock: dict[str, int], name: str, number: int) -> dict[str, int]:
    """The stock with so many more of a thing.

    >>> add({}, "pen", 2)
    {'pen': 2}
    """
    ...


def missing(stock: dict[str, int], names: list[str]) -> list[str]:
    """The names that are not in stock, in their order.

    >>> missing({"pen": 1}, ["ink", "pen"])
    ['ink']
    """
    ...
`),
      ],
    },
  },
};

export const WORDS = 'text/words.py';

/** Two stubs in one file. */
export const words = {
  files: {
    'pyproject.toml': basket.files['pyproject.toml'],
    'text/__init__.py': '',
    [WORDS]: `"""Words."""


def longest(text: str) -> str:
    """The longest word; the first of several."""
    ...


def initials(text: str) -> str:
    """The first letters of all words."""
    ...
`,
    'tests/test_words.py': `from text.words import initials, longest


def test_longest() -> None:
    assert longest("a bbb cc ddd") == "bbb"


def test_initials() -> None:
    assert initials("self organized agents") == "soa"
`,
  },
  answers: {
    [`${WORDS}::longest`]: { '*': [python('def longest(text: str) -> str:\n    return max(text.split(), key=len)')] },
    [`${WORDS}::initials`]: { '*': [python('def initials(text: str) -> str:\n    return "".join(word[0] for word in text.split())')] },
  },
};

/** A stub that no test runs: the result is shown first, with a helper, and with tests that the agent wrote. */
export const untested = {
  files: {
    'pyproject.toml': basket.files['pyproject.toml'],
    'text/__init__.py': '',
    [WORDS]: words.files[WORDS],
    'tests/test_other.py': 'def test_other() -> None:\n    assert True\n',
  },
  answers: {
    [`${WORDS}::longest`]: {
      skeleton: [python('def longest(text: str) -> str:\n    return max(_split(text), key=len)\n\n\ndef _split(text: str) -> list[str]:\n    """The words of a text."""\n    ...')],
      tests: [python('from text.words import longest\n\n\ndef test_longest_of_two() -> None:\n    assert longest("a bb") == "bb"\n')],
    },
    [`${WORDS}::_split`]: {
      code: [python('def _split(text: str) -> list[str]:\n    return text.split()')],
    },
  },
};

/** A reply that passes two tests of three, whatever is asked. */
export const stubborn = { [`${SLUG}::slugify`]: { '*': [python('def slugify(title: str) -> str:\n    return "-".join(title.lower().split())')] } };

/** Every reply of a plan after some seconds. */
export function slow(answers, seconds) {
  const later = reply => ({ ...(typeof reply === 'string' ? { text: reply } : reply), delay: seconds });
  return Object.fromEntries(
    Object.entries(answers).map(([target, steps]) => [target, Object.fromEntries(Object.entries(steps).map(([step, replies]) => [step, replies.map(later)]))]),
  );
}
