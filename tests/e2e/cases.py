"""What is done to the real projects: ten functions each, how each is disturbed, what the model answers first.

The right answer is always the project's own source. `broken` and `wrong` are changes to that source: the
first is what the workspace holds instead of it, the second what the model writes first; both are caught by
`tests`, the project's own tests for the function. A case without `broken` finds the function blanked: its
signature and docstring with `stub` for a body.
"""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import dedent

Change = tuple[str, str]  # a text that occurs once in the function's source, and what stands there instead


@dataclass(frozen=True, slots=True)
class Helper:
    """A part that the Mother hands to a Child: the Mother's own code, and three stages of the helper."""

    name: str
    mother: Change
    stub: str
    wrong: str
    right: str


@dataclass(frozen=True, slots=True)
class Case:
    """One function of a project. `saved`: the disturbed text is on the disk too, not only in the buffer."""

    project: str
    path: str
    name: str
    tests: tuple[str, ...]
    wrong: Change = ("", "")
    broken: Change | None = None
    stub: str = "..."
    helper: Helper | None = None
    saved: bool = True

    @property
    def function(self) -> str:
        """The function's id."""
        return f"{self.path}::{self.name}"


def _cases(project: str, *cases: tuple[str, str, str, dict[str, object]]) -> tuple[Case, ...]:
    return tuple(
        Case(project, path, name, tuple(tests.split()), **options)  # type: ignore[arg-type]
        for path, name, tests, options in cases
    )


MORE = "more_itertools/more.py"
IN_MORE = "tests/test_more.py::"
NUMBER = "src/humanize/number.py"
IN_NUMBER = "tests/test_number.py::"
SQL = "sqlparse/sql.py"
IN_GROUPING = "tests/test_grouping.py::"
CLOCK, STOCK, ORDERS = "shop/clock.py", "shop/stock.py", "shop/orders.py"

EXTREMES = Helper(
    "_extremes",
    (
        """\
        for x, y in zip_longest(it, it, fillvalue=lo):
            if y < x:
                if y < lo:
                    lo = y
                if hi < x:
                    hi = x
            else:
                if x < lo:
                    lo = x
                if hi < y:
                    hi = y
""",
        "        return _extremes(lo, it)\n",
    ),
    dedent('''\
        def _extremes(first, rest):
            """Return the smallest and the largest of *first* and the items of *rest*.

            >>> _extremes(3, iter([5, 1, 4]))
            (1, 5)
            """
            ...'''),
    dedent('''\
        def _extremes(first, rest):
            """Return the smallest and the largest of *first* and the items of *rest*.

            >>> _extremes(3, iter([5, 1, 4]))
            (1, 5)
            """
            items = sorted(rest)
            return items[0], items[-1]'''),
    dedent('''\
        def _extremes(first, rest):
            """Return the smallest and the largest of *first* and the items of *rest*.

            >>> _extremes(3, iter([5, 1, 4]))
            (1, 5)
            """
            lo = hi = first
            for item in rest:
                if item < lo:
                    lo = item
                if hi < item:
                    hi = item
            return lo, hi'''),
)

SUPERSCRIPT = Helper(
    "_superscript",
    ("str(int(part2)).translate(_SUPERSCRIPT_TRANS)", "_superscript(part2)"),
    dedent('''\
        def _superscript(exponent: str) -> str:
            """Write an exponent as float formatting gives it in superscript, without "+" and leading zeros.

            >>> _superscript("-03")
            '⁻³'
            """
            raise NotImplementedError'''),
    dedent('''\
        def _superscript(exponent: str) -> str:
            """Write an exponent as float formatting gives it in superscript, without "+" and leading zeros.

            >>> _superscript("-03")
            '⁻³'
            """
            return exponent.lstrip("+0").translate(_SUPERSCRIPT_TRANS)'''),
    dedent('''\
        def _superscript(exponent: str) -> str:
            """Write an exponent as float formatting gives it in superscript, without "+" and leading zeros.

            >>> _superscript("-03")
            '⁻³'
            """
            return str(int(exponent)).translate(_SUPERSCRIPT_TRANS)'''),
)

NEWLINE = Helper(
    "_newline_length",
    (r"2 if text.startswith('\r\n', pos) else 1", "_newline_length(text, pos)"),
    dedent('''\
        def _newline_length(text, pos):
            """Return how many characters the line break at *pos* takes."""
            pass'''),
    dedent('''\
        def _newline_length(text, pos):
            """Return how many characters the line break at *pos* takes."""
            return {"\\n": 1, "\\r\\n": 2}[text[pos:pos + 2]]'''),
    dedent('''\
        def _newline_length(text, pos):
            """Return how many characters the line break at *pos* takes."""
            return 2 if text.startswith("\\r\\n", pos) else 1'''),
)

SHIPPING = Helper(
    "_shipping",
    ("goods if goods >= FREE_SHIPPING_FROM else goods + 490", "goods + _shipping(goods)"),
    dedent('''\
        def _shipping(cents: int) -> int:
            """Cents for sending goods of this price: 490, and nothing from the limit on.

            >>> _shipping(5000), _shipping(4999)
            (0, 490)
            """
            ...'''),
    dedent('''\
        def _shipping(cents: int) -> int:
            """Cents for sending goods of this price: 490, and nothing from the limit on.

            >>> _shipping(5000), _shipping(4999)
            (0, 490)
            """
            return 0 if cents > FREE_SHIPPING_FROM else 490'''),
    dedent('''\
        def _shipping(cents: int) -> int:
            """Cents for sending goods of this price: 490, and nothing from the limit on.

            >>> _shipping(5000), _shipping(4999)
            (0, 490)
            """
            return 0 if cents >= FREE_SHIPPING_FROM else 490'''),
)

CASES = (
    *_cases(
        "more-itertools",
        (MORE, "ilen", f"{IN_MORE}IlenTests", {"wrong": ("zip(iterable)", "iterable")}),
        (
            MORE,
            "split_at",
            f"{IN_MORE}SplitAtTests",
            {"wrong": ("yield [item]", "yield item"), "stub": "pass", "saved": False},
        ),
        (MORE, "minmax", f"{IN_MORE}MinMaxTests", {"helper": EXTREMES}),
        (
            MORE,
            "bucket.__contains__",
            f"{IN_MORE}BucketTests",
            {"wrong": ("self._cache[value].appendleft(item)", "pass"), "stub": "raise NotImplementedError"},
        ),
        (
            MORE,
            "numeric_range._len",
            f"{IN_MORE}NumericRangeTests",
            {"broken": ("step = -self._step", "step = self._step"), "wrong": ("return 0", "return 1")},
        ),
        (
            MORE,
            "run_length.encode",
            f"{IN_MORE}RunLengthTest",
            {"wrong": ("(k, ilen(g))", "(ilen(g), k)"), "saved": False},
        ),
        (
            MORE,
            "callback_iter.done",
            f"{IN_MORE}CallbackIterTests",
            {"wrong": ("return False", "return True"), "stub": "# still to be written\n..."},
        ),
        (
            MORE,
            "consumer.<locals>.wrapper",
            f"{IN_MORE}ConsumerTests",
            {"broken": ("    next(gen)\n", ""), "wrong": ("next(gen)", "gen.send(1)")},
        ),
        (
            MORE,
            "seekable.peek",
            f"{IN_MORE}SeekableTest",
            {
                "broken": ("self._index -= 1", "self._index += 1"),
                "wrong": ("return peeked", "return [peeked]"),
                "saved": False,
            },
        ),
        (
            "more_itertools/recipes.py",
            "roundrobin",
            "tests/test_recipes.py::RoundrobinTests",
            {"wrong": ("len(iterables), 0, -1", "len(iterables), 1, -1")},
        ),
    ),
    *_cases(
        "humanize",
        (
            NUMBER,
            "ordinal",
            f"{IN_NUMBER}test_ordinal tests/test_i18n.py::test_ordinal_genders",
            {"wrong": ("(11, 12, 13)", "(11, 12)")},
        ),
        (
            NUMBER,
            "intcomma",
            f"{IN_NUMBER}test_intcomma tests/test_i18n.py::test_intcomma",
            {
                "broken": ('if "." in value:', 'if "," in value:'),
                "wrong": ("isinstance(value, str)", "isinstance(value, bytes)"),
            },
        ),
        (
            NUMBER,
            "apnumber",
            f"{IN_NUMBER}test_apnumber",
            {"wrong": ("0 <= value < 10", "1 <= value < 10"), "stub": "", "saved": False},
        ),
        (
            NUMBER,
            "clamp",
            f"{IN_NUMBER}test_clamp",
            {"wrong": ("token = ceil_token", "token = floor_token"), "stub": "raise NotImplementedError()"},
        ),
        (NUMBER, "scientific", f"{IN_NUMBER}test_scientific", {"helper": SUPERSCRIPT}),
        (
            "src/humanize/lists.py",
            "natural_list",
            "tests/test_lists.py",
            {"wrong": ('f" and {item_list[-1]}"', 'f", and {item_list[-1]}"'), "stub": "pass"},
        ),
        (
            "src/humanize/filesize.py",
            "naturalsize",
            "tests/test_filesize.py tests/test_i18n.py::test_naturalsize_i18n",
            {
                "broken": ("base = 1024 if (gnu or binary) else 1000", "base = 1024"),
                "wrong": ("exp += 1", "exp -= 1"),
                "saved": False,
            },
        ),
        (
            "src/humanize/time.py",
            "Unit.__lt__",
            "tests/test_time.py::test_time_unit",
            {"broken": ("<", ">"), "wrong": ("return NotImplemented", "return False")},
        ),
        (
            "src/humanize/time.py",
            "_quotient_and_remainder",
            "tests/test_time.py::test_precisedelta_multiple_units",
            {"wrong": ("return 0, value", "return value, 0")},
        ),
        (
            "src/humanize/time.py",
            "naturalday",
            "tests/test_time.py::test_naturalday tests/test_time.py::test_naturaldate",
            {"wrong": ("delta.days == -1", "delta.days <= -1"), "saved": False},
        ),
    ),
    *_cases(
        "sqlparse",
        (
            SQL,
            "NameAliasMixin.get_alias",
            f"{IN_GROUPING}test_grouping_alias {IN_GROUPING}test_aliased_column_without_as",
            {"wrong": ("kw_idx + 1", "kw_idx")},
        ),
        (
            SQL,
            "TokenList.flatten",
            "tests/test_tokenize.py tests/test_parse.py",
            {
                "broken": ("yield from token.flatten()", "yield token"),
                "wrong": ("yield from token.flatten()", "yield from token.tokens"),
            },
        ),
        (
            SQL,
            "Comparison.left",
            f"{IN_GROUPING}test_comparison_with_keywords {IN_GROUPING}test_comparison_with_functions",
            {"wrong": ("self.tokens[0]", "self.tokens[1]")},
        ),
        (
            SQL,
            "Identifier.get_array_indices",
            "tests/test_parse.py::test_simple_1d_array_index tests/test_parse.py::test_2d_array_index",
            {"wrong": ("tokens[1:-1]", "tokens[1:]"), "stub": "pass", "saved": False},
        ),
        (
            "sqlparse/utils.py",
            "split_unquoted_newlines",
            "tests/test_utils.py",
            {"helper": NEWLINE},
        ),
        (
            "sqlparse/engine/grouping.py",
            "group_order",
            f"{IN_GROUPING}test_identifier_consumes_ordering tests/test_tokenize.py::test_parse_order",
            {"wrong": ("pidx, tidx)", "tidx, tidx)")},
        ),
        (
            "sqlparse/utils.py",
            "offset",
            "tests/test_format.py",
            {
                "broken": ("filter_.offset -= n", "filter_.offset += n"),
                "wrong": ("filter_.offset -= n", "filter_.offset -= 1"),
            },
        ),
        (
            "sqlparse/filters/tokens.py",
            "TruncateStringFilter.process",
            "tests/test_format.py",
            {
                "wrong": ("inner[:self.width], self.char", "self.char, inner[:self.width]"),
                "stub": "raise NotImplementedError",
                "saved": False,
            },
        ),
        (
            "sqlparse/lexer.py",
            "Lexer.get_default_instance",
            "tests/test_parse.py::test_configurable_keywords tests/test_tokenize.py",
            {
                "broken": ("cls._default_instance.default_initialization()", "pass"),
                "wrong": ("return cls._default_instance", "return cls()"),
            },
        ),
        (
            SQL,
            "Case.get_cases",
            "tests/test_regressions.py tests/test_format.py",
            {"wrong": ("ret.append((None, []))", "ret.append((None, None))")},
        ),
    ),
    *_cases(
        "async_shop",
        (
            CLOCK,
            "retried.<locals>.decorate.<locals>.wrapper",
            "tests/test_clock.py",
            {"broken": ("times - 1", "times"), "wrong": ("except ConnectionError", "except Exception")},
        ),
        (CLOCK, "gather_limited", "tests/test_clock.py", {"wrong": ("(limit)", "(limit + 1)")}),
        (
            CLOCK,
            "batches",
            "tests/test_clock.py",
            {"wrong": ("if batch:", "if len(batch) == size:"), "stub": "...  # to be written"},
        ),
        (
            CLOCK,
            "held",
            "tests/test_clock.py",
            {
                "wrong": (
                    'try:\n            yield\n        finally:\n            log.append("out")',
                    'yield\n        log.append("out")',
                ),
                "stub": "raise NotImplementedError",
                "saved": False,
            },
        ),
        (STOCK, "Stock.free", "tests/test_stock.py", {"wrong": ("count > 0", "count >= 0")}),
        (
            STOCK,
            "Stock.reserve",
            "tests/test_stock.py",
            {
                "broken": ("async with self._lock:", "if True:"),
                "wrong": ("count > left", "count >= left"),
                "saved": False,
            },
        ),
        (STOCK, "Stock.shelves", "tests/test_stock.py", {"wrong": ("sorted(", "list("), "stub": "pass"}),
        (ORDERS, "Order.total", "tests/test_orders.py", {"helper": SHIPPING}),
        (
            ORDERS,
            "Order.parse",
            "tests/test_orders.py",
            {
                "broken": ("part[1:-1]", "part[:-1]"),
                "wrong": ("int(count), int(cents)", "int(cents), int(count)"),
            },
        ),
        (
            ORDERS,
            "pay",
            "tests/test_orders.py",
            {"wrong": ("order.total == 0", "order.total < 0"), "stub": "", "saved": False},
        ),
    ),
)
