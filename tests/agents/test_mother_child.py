"""Mother and Child: who is asked what, in which order, and what comes of it."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest
from agents.playground import Played, Script, play
from soa_agents.protocols import choose
from soa_agents.settings import Limits
from soa_agents.swarm import candidate, judge
from soa_agents.swarm.actions import Verify
from soa_agents.swarm.fold import replay

STUB = 'def total(items):\n    """The sum of price times count."""\n    raise NotImplementedError\n'
TESTS = {"t::two": "total([(2, 4), (1, 1)]) == 9", "t::none": "total([]) == 0"}


def block(source: str) -> str:
    return f"```python\n{source}\n```"


ALONE = block("def total(items):\n    return sum(p * n for p, n in items)")
WRONG = block("def total(items):\n    return sum(p + n for p, n in items)")
WORSE = block("def total(items):\n    return 1 / 0")
MOTHER = block(
    "def total(items):\n    return sum(_line(p, n) for p, n in items)\n\n\n"
    'def _line(price, count):\n    """Price times count.\n\n    >>> _line(2, 3)\n    6\n    """\n    ...'
)
CHILD = block("def _line(price, count):\n    return price * count")
BAD_CHILD = block("def _line(price, count):\n    return price + count")
SLY_CHILD = block("def _line(price, count):\n    return 6 if count == 3 else price + count")
PLAIN_MOTHER = MOTHER.replace(">>> _line(2, 3)\n    6", "Both are numbers.")
CHILD_TESTS = block("from shop import _line\n\n\ndef test_line():\n    assert _line(2, 3) == 6")
LINE_MOTHER = block(
    "def _line(price, count):\n    return _times(price, count)\n\n\n"
    'def _times(a, b):\n    """The product."""\n    ...'
)
TIMES = block("def _times(a, b):\n    return a * b")
BROKEN_TIMES = block("def _times(a, b):\n    return a * b / 0")
TWO = block(
    "def total(items):\n    return sum((line(p, n) for p, n in items), none())\n\n\n"
    'def line(price, count):\n    """Price times count.\n\n    >>> line(2, 3)\n    6\n    """\n    ...\n\n\n'
    'def none():\n    """Nothing.\n\n    >>> none()\n    0\n    """\n    ...'
)
PAIR = block(
    "def total(items):\n    return _a(items) + _b(items)\n\n\n"
    'def _a(items):\n    """All.\n\n    >>> _a([])\n    0\n    """\n    ...\n\n\n'
    'def _b(items):\n    """None.\n\n    >>> _b([])\n    0\n    """\n    ...'
)
ALL, NEVER = "sum(p * n for p, n in items)", "0 if len(items) < 2 else 1 / 0"
SUM = 'def _sum(items):\n    """All.\n\n    >>> _sum([(2, 3)])\n    6\n    """\n    ...'
OTHER_SUM = 'def _sum(items):\n    """None.\n\n    >>> _sum([(2, 3)])\n    0\n    """\n    ...'
PAIR_B = block(f"def _b(items):\n    return _sum(items)\n\n\n{OTHER_SUM}")
MENDED = ("feedback", "modify")
PAIR_ASKED = ["total skeleton", "_a skeleton", "_b skeleton", "_sum code", "_sum code"]
TWO_ASKED = ["total skeleton", "line code", "none code", "total feedback", "total modify"]
LINE = block("def line(price, count):\n    return price * count")
SLY_LINE = block("def line(price, count):\n    return 6 if count == 3 else price + count")
NONE = block("def none():\n    return 0")
CALLERS = block(
    "def total(items):\n    return _a(items) + _b(items)\n\n\n"
    'def _a(items):\n    """All.\n\n    >>> _a([])\n    0\n    """\n    ...\n\n\n'
    'def _b(items):\n    """None."""\n    ...'
)


@dataclass(frozen=True)
class Case:
    script: Script
    asked: list[str]
    verdict: str = "passed"
    limits: Limits = field(default_factory=Limits)
    text: str = STUB
    tests: dict[str, str] = field(default_factory=lambda: TESTS)


CASES = {
    "alone": Case({"total": {"skeleton": [ALONE]}}, ["total skeleton"]),
    "at the depth limit it writes code": Case(
        {"total": {"code": [ALONE]}}, ["total code"], limits=Limits(depth=1)
    ),
    "with a child": Case(
        {"total": {"skeleton": [MOTHER]}, "_line": {"code": [CHILD]}}, ["total skeleton", "_line code"]
    ),
    "wrong, then right": Case(
        {"total": {"skeleton": [WRONG], "feedback": ["Multiply."], "modify": [ALONE]}},
        ["total skeleton", "total feedback", "total modify"],
    ),
    "so is what no parser can read": Case(
        {"total": {"skeleton": [block(f"def total(items):\n    return {'-' * 20_000}1"), ALONE]}},
        ["total skeleton", "total skeleton"],
    ),
    "prose is asked for again within the key": Case(
        {"total": {"skeleton": ["Sure, here is an idea.", ALONE]}}, ["total skeleton", "total skeleton"]
    ),
    "never code": Case({"total": {"skeleton": ["No."]}}, ["total skeleton"] * 3, "failed"),
    "a child with failing examples mends them without her mother": Case(
        {
            "total": {"skeleton": [MOTHER]},
            "_line": {"code": [BAD_CHILD], "feedback": ["Times."], "modify": [CHILD]},
        },
        ["total skeleton", "_line code", "_line feedback", "_line modify"],
    ),
    "a child without examples is changed when tests she writes fail": Case(
        {
            "total": {
                "skeleton": [PLAIN_MOTHER],
                "feedback": ["The lines are off."],
                "modify": [PLAIN_MOTHER],
            },
            "_line": {"code": [BAD_CHILD], "tests": [CHILD_TESTS], "feedback": ["Times."], "modify": [CHILD]},
        },
        [
            "total skeleton",
            "_line code",
            "total feedback",
            "total modify",
            "_line tests",
            "_line feedback",
            "_line modify",
        ],
    ),
    "a child is changed when her mother stands by her own code": Case(
        {
            "total": {"skeleton": [MOTHER], "feedback": ["The line is off."], "modify": [MOTHER]},
            "_line": {"code": [SLY_CHILD], "feedback": ["Times, always."], "modify": [CHILD]},
        },
        ["total skeleton", "_line code", "total feedback", "total modify", "_line feedback", "_line modify"],
    ),
    "a mother may take a helper back": Case(
        {
            "total": {"skeleton": [PLAIN_MOTHER], "feedback": ["Do it yourself."], "modify": [ALONE]},
            "_line": {"code": [BAD_CHILD]},
        },
        ["total skeleton", "_line code", "total feedback", "total modify"],
    ),
    "a mother may bring a helper later": Case(
        {
            "total": {"skeleton": [WRONG], "feedback": ["Multiply."], "modify": [MOTHER]},
            "_line": {"code": [CHILD]},
        },
        ["total skeleton", "total feedback", "total modify", "_line code"],
    ),
    "a stub it calls becomes an agent": Case(
        {
            "total": {"skeleton": [block("def total(items):\n    return sum(line(p, n) for p, n in items)")]},
            "line": {"code": [block("def line(price, count):\n    return price * count")]},
        },
        ["total skeleton", "line code"],
        text=STUB + '\n\ndef line(price, count):\n    """Price times count."""\n    ...\n',
    ),
    "the same code again ends it": Case(
        {"total": {"skeleton": [WRONG], "feedback": ["Hm."], "modify": [WRONG]}},
        ["total skeleton", "total feedback", "total modify"],
        "failed",
    ),
    "a fault that lies elsewhere ends it": Case(
        {"total": {"skeleton": [WRONG], "feedback": ["Outside: the test adds up wrongly.\nLook at it."]}},
        ["total skeleton", "total feedback"],
        "failed",
    ),
    "rounds are limited": Case(
        {"total": {"skeleton": [WRONG], "feedback": ["Hm."], "modify": [WORSE]}},
        ["total skeleton", "total feedback", "total modify"],
        "failed",
        Limits(rounds=1),
    ),
    "calls are limited": Case(
        {"total": {"skeleton": [WRONG], "feedback": ["Hm."], "modify": [ALONE]}},
        ["total skeleton", "total feedback"],
        "failed",
        Limits(calls=2),
    ),
    "depth above two: a child is a mother again, and her child is to blame": Case(
        {
            "total": {
                "skeleton": [PLAIN_MOTHER],
                "feedback": ["The lines are off."],
                "modify": [PLAIN_MOTHER],
            },
            "_line": {"skeleton": [LINE_MOTHER], "feedback": ["Not mine."], "modify": [LINE_MOTHER]},
            "_times": {"code": [BROKEN_TIMES], "feedback": ["It divides."], "modify": [TIMES]},
        },
        [
            "total skeleton",
            "_line skeleton",
            "_times code",
            "total feedback",
            "total modify",
            "_line feedback",
            "_line modify",
            "_times feedback",
            "_times modify",
        ],
        limits=Limits(depth=3),
    ),
    "two helpers of one name keep their agents apart": Case(
        {
            "total": {"skeleton": [PAIR], "feedback": ["Which?"], "modify": [PAIR]},
            "_a": {"skeleton": [block(f"def _a(items):\n    return _sum(items)\n\n\n{SUM}")]},
            "_b": {"skeleton": [PAIR_B], "feedback": ["Not mine."], "modify": [PAIR_B]},
            "_sum": {
                "code": [block(f"def _sum(items):\n    return {value}") for value in (ALL, NEVER)],
                "feedback": ["It is nothing, always."],
                "modify": [block("def _sum(items):\n    return 0")],
            },
        },
        [*PAIR_ASKED, *(f"{name} {step}" for name in ("total", "_b", "_sum") for step in MENDED)],
        limits=Limits(depth=3),
    ),
    "a mother's examples wait for those of her child": Case(
        {
            "total": {"skeleton": [PAIR]},
            "_a": {"skeleton": [block(f"def _a(items):\n    return _sum(items)\n\n\n{SUM}")]},
            "_b": {"skeleton": [block("def _b(items):\n    return 0")]},
            "_sum": {
                "code": [block("def _sum(items):\n    return 1")],
                "feedback": ["It is always one."],
                "modify": [block(f"def _sum(items):\n    return {ALL}")],
            },
        },
        ["total skeleton", "_a skeleton", "_b skeleton", "_sum code", "_sum feedback", "_sum modify"],
        limits=Limits(depth=3),
    ),
    "of several children only whom the failing test alone runs is doubted": Case(
        {
            "total": {"skeleton": [TWO], "feedback": ["Which?"], "modify": [TWO]},
            "line": {"code": [SLY_LINE], "feedback": ["Times, always."], "modify": [LINE]},
            "none": {"code": [NONE]},
        },
        [*TWO_ASKED, "line feedback", "line modify"],
        tests={
            "t::two": "total([(2, 4), (1, 1)]) == 9 and 'line none'",
            "t::none": "total([]) == 0 and 'none'",
        },
    ),
    "children with the same evidence against them write tests first": Case(
        {
            "total": {"skeleton": [TWO], "feedback": ["Which?"], "modify": [TWO]},
            "line": {
                "code": [SLY_LINE],
                "tests": [block("from shop import line\n\n\ndef test_line():\n    assert line(2, 4) == 8")],
                "feedback": ["Times, always."],
                "modify": [LINE],
            },
            "none": {
                "code": [NONE],
                "tests": [block("from shop import none\n\n\ndef test_none():\n    assert none() == 0")],
            },
        },
        [*TWO_ASKED, "line tests", "none tests", "line feedback", "line modify"],
        tests={"t::two": "total([(2, 4), (1, 1)]) == 9 and 'line none'"},
    ),
    "a stub that two children call has one agent, and keeps it when one of them stops to": Case(
        {
            "total": {"skeleton": [CALLERS]},
            "_a": {"code": [block("def _a(items):\n    return 1 + sum(line(p, n) for p, n in items)")]}
            | {"feedback": ["One too many."]}
            | {"modify": [block("def _a(items):\n    return sum(p * n for p, n in items)")]},
            "_b": {"code": [block("def _b(items):\n    return line(0, 1)")]},
            "line": {"code": [block("def line(price, count):\n    return price * count")]},
        },
        ["total skeleton", "_a code", "_b code", "line code", "_a feedback", "_a modify"],
        text=STUB + '\n\ndef line(price, count):\n    """Price times count."""\n    ...\n',
    ),
    "no test runs it": Case(
        {
            "total": {
                "skeleton": [ALONE],
                "tests": [block("from shop import total\n\n\ndef test_it():\n    assert total([]) == 0")],
            }
        },
        ["total skeleton", "total tests"],
        "untested",
        tests={},
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
async def test_who_is_asked_and_what_comes_of_it(case: Case) -> None:
    """The sequence of calls and the verdict of every case in the table."""
    played = await play(choose("mother_child"), case.text, case.tests, case.script, limits=case.limits)
    assert played.model.asked == case.asked
    assert played.stop.verdict == case.verdict


async def test_the_best_candidate_is_kept_when_a_later_one_is_worse() -> None:
    """`WRONG` passes one test, `WORSE` none; the patch to look at is that of `WRONG`."""
    script = {"total": {"skeleton": [WRONG], "feedback": ["Hm."], "modify": [WORSE]}}
    played = await play(choose("mother_child"), STUB, TESTS, script, limits=Limits(rounds=1))
    best = played.state.best["shop.py::total"]
    text = candidate.patch_of({"shop.py": STUB}, best.pieces).apply({"shop.py": STUB})["shop.py"]
    assert "p + n" in text


def text_of(played: Played) -> str:
    root = played.state.job.targets[0].function
    return candidate.patch_of({"shop.py": STUB}, played.state.best[root].pieces).apply({"shop.py": STUB})[
        "shop.py"
    ]


def drawn(chance: random.Random) -> Script:
    """Three Children, some with examples, some wrong at first, some with a helper of the same name."""
    stubs, script = [], {}
    for name in "abc":
        shown = f"\n\n    >>> _{name}([])\n    0\n    " if chance.random() < 0.6 else ""
        stubs.append(f'def _{name}(items):\n    """Part {name}.{shown}"""\n    ...')
        value = "sum(p * n for p, n in items)" if name == "a" else "_clean(0)"
        clean = f"\n\n\ndef _clean(x):\n    return x * {chance.randint(1, 2)}"
        good = f"def _{name}(items):\n    return {value}{clean if name != 'a' else ''}"
        wrong = good.replace("return ", "return 1 + ", 1)
        test = f"from shop import _{name}\n\n\ndef test_it():\n    assert _{name}([]) == 0"
        script[f"_{name}"] = {
            "code": [block(wrong if chance.random() < 0.5 else good)],
            "tests": [block(test)],
            "feedback": ["One too many."],
            "modify": [block(good)],
        }
    mother = "def total(items):\n    return _a(items) + _b(items) + _c(items)"
    whole = block("\n\n\n".join([mother, *stubs]))
    script["total"] = {"skeleton": [whole], "feedback": ["Hm."], "modify": [whole]}
    return script


@pytest.mark.parametrize("seed", range(30))
async def test_the_order_in_which_replies_arrive_does_not_show(seed: int) -> None:
    """Replies of parallel Children arrive shuffled; calls and the file that results are always the same."""
    script = drawn(random.Random(seed))
    plain = await play(choose("mother_child"), STUB, TESTS, script)
    shuffled = await play(choose("mother_child"), STUB, TESTS, script, shuffle=random.Random(seed))
    assert plain.stop.verdict == shuffled.stop.verdict == "passed"
    assert text_of(shuffled) == text_of(plain)
    assert sorted(shuffled.model.asked) == sorted(plain.model.asked)


async def test_a_branch_is_tried_while_others_still_write() -> None:
    """`_b` does not reply before `_a`, whose example failed, has been asked to mend it."""
    script = {
        "total": {"skeleton": [CALLERS]},
        "_a": {
            "code": [block("def _a(items):\n    return 1 + sum(p * n for p, n in items)")],
            "feedback": ["One too many."],
            "modify": [block("def _a(items):\n    return sum(p * n for p, n in items)")],
        },
        "_b": {"code": [block("def _b(items):\n    return 0")]},
    }
    waits = {"_b code": "_a modify"}
    limits = Limits(seconds=20)
    played = await play(choose("mother_child"), STUB, TESTS, script, limits=limits, waits=waits)
    assert played.stop.verdict == "passed"
    trials = [key for key in played.state.keys if key.endswith(":trial")]
    assert trials == ["shop.py::total:r0:trial"]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
async def test_replaying_the_events_gives_the_same_state(case: Case) -> None:
    """The state is the fold of its events: nothing else enters."""
    played = await play(choose("mother_child"), case.text, case.tests, case.script, limits=case.limits)
    assert replay(played.events) == played.state


async def test_several_targets_are_written_apart_and_proven_together() -> None:
    """A target that needs another one is tried on it; what fails alone does not hold up the rest."""
    text = STUB + '\n\ndef mean(items):\n    """Total by the number of items."""\n    ...\n'
    tests = {**TESTS, "t::mean": "mean([(2, 3)]) == 6"}
    script = {
        "total": {"skeleton": [ALONE]},
        "mean": {"skeleton": [block("def mean(items):\n    return total(items) / len(items)")]},
    }
    played = await play(choose("auto"), text, tests, script, roots=("total", "mean"), needs={"mean": "total"})
    assert set(played.stop.accepted) == {"shop.py::total", "shop.py::mean"}


async def test_examples_that_name_a_stub_are_run_when_that_is_written() -> None:
    """`mean` is there first; its example makes use of `total`, so it says nothing of `mean` before."""
    mean = (
        'def mean(items):\n    """Half.\n\n    >>> mean([(total([(1, 2)]), 3)])\n    3.0\n    """\n    ...\n'
    )
    script = {
        "total": {"skeleton": [ALONE]},
        "mean": {"skeleton": [block("def mean(items):\n    return sum(p * n for p, n in items) / 2")]},
    }
    late = random.Random(10)  # lets `total` reply long after `mean`
    text = f"{STUB}\n\n{mean}"
    played = await play(choose("auto"), text, TESTS, script, roots=("total", "mean"), shuffle=late)
    assert set(played.stop.accepted) == {"shop.py::total", "shop.py::mean"}
    assert played.model.asked == ["total skeleton", "mean skeleton"]


async def test_a_stub_that_only_an_example_names_is_written_too() -> None:
    """Nobody calls `double` but the example of `four`, which cannot pass without it."""
    four = 'def four(n):\n    """Four times.\n\n    >>> four(1) == double(2)\n    True\n    """\n    ...\n'
    double = 'def double(n):\n    """Twice."""\n    ...\n'
    other = 'class Box:\n    def four(self):\n        """Another of that name."""\n        ...\n'
    script = {
        "four": {"skeleton": [block("def four(n):\n    return 4 * n")]},
        "double": {"code": [block("def double(n):\n    return 2 * n")]},
    }
    played = await play(choose("mother_child"), f"{four}\n\n{double}\n\n{other}", {}, script)
    assert played.stop.verdict == "passed"
    assert played.model.asked == ["four skeleton", "double code"]


async def test_a_stub_that_two_targets_call_is_written_once() -> None:
    """Each target has an agent for it and is proven with hers; in the result stands one."""
    mean = 'def mean(items):\n    """Total by number."""\n    ...\n'
    text = f'{STUB}\n\n{mean}\n\ndef line(p, n):\n    """Product."""\n    ...\n'
    tests = {**TESTS, "t::mean": "mean([(2, 3), (2, 1)]) == 4"}
    script = {
        "total": {"skeleton": [block("def total(items):\n    return sum(line(p, n) for p, n in items)")]},
        "mean": {
            "skeleton": [block("def mean(items):\n    return sum(line(p, n) for p, n in items) / len(items)")]
        },
        "line": {
            "code": [block("def line(p, n):\n    return p * n"), block("def line(p, n):\n    return n * p")]
        },
    }
    played = await play(choose("auto"), text, tests, script, roots=("total", "mean"))
    assert set(played.stop.accepted) == {"shop.py::total", "shop.py::mean"}
    together = played.state.keys["together"].action
    assert isinstance(together, Verify)
    assert together.candidate[0][1].count("def line(") == 1


AFFECTED = {  # another test that the edit may break: an expression, whether it is flaky, the verdict
    "unbroken": ("True", False, "passed"),
    "red all along": ("False", False, "passed"),
    "broken": ("'sum' not in total.__code__.co_names", False, "failed"),
    "flaky": ("True", True, "passed"),
}


@pytest.mark.parametrize(("test", "flaky", "verdict"), AFFECTED.values(), ids=AFFECTED.keys())
async def test_what_else_is_affected_is_run_before_the_end(test: str, flaky: bool, verdict: str) -> None:
    """What was red before is not held against the edit, nor what is red only once; what it breaks is."""
    script = {"total": {"skeleton": [ALONE], "feedback": ["Hm."], "modify": [ALONE]}}
    others = {"o::x": test}
    named = frozenset(others) if flaky else frozenset[str]()
    played = await play(choose("auto"), STUB, TESTS, script, others=others, flaky=named)
    assert played.stop.verdict == verdict


@pytest.mark.parametrize(("red", "verdict"), [((), "passed"), (("t::two",), "failed"), (("o::x",), "failed")])
async def test_what_a_test_server_passed_is_run_cold_before_it_is_offered(
    red: tuple[str, ...], verdict: str
) -> None:
    script = {"total": {"skeleton": [ALONE], "feedback": ["Hm."], "modify": [ALONE]}}
    played = await play(choose("auto"), STUB, TESTS, script, others={"o::x": "True"}, red_cold=frozenset(red))
    assert played.stop.verdict == verdict
    runs = [p.action for p in played.state.keys.values() if isinstance(p.action, Verify)]
    final = next(run for run in runs if run.key.endswith(":r0:final"))
    assert final.selection.cold
    assert set(final.selection.tests) == {*TESTS, "o::x"}
    assert final.candidate == next(run for run in runs if run.key.endswith(":r0:trial")).candidate


NEWLY_RED = {  # a test that the baseline passes: an expression, whether it is flaky, who is asked for what
    "flaky": ("True", True, ["total skeleton"]),
    "broken": (
        "'sum' not in total.__code__.co_names",
        False,
        ["total skeleton", "total feedback", "total modify"],
    ),
}


@pytest.mark.parametrize(("test", "flaky", "asked"), NEWLY_RED.values(), ids=NEWLY_RED.keys())
async def test_a_new_failure_of_a_trial_runs_once_more(test: str, flaky: bool, asked: list[str]) -> None:
    """What flips is named in the end and never told to the model; what stays red is."""
    by_hand = block("def total(items):\n    n = 0\n    for p, c in items:\n        n += p * c\n    return n")
    script = {"total": {"skeleton": [ALONE], "feedback": ["Loop."], "modify": [by_hand]}}
    tests = {**TESTS, "t::still": test}
    named = frozenset(["t::still"]) if flaky else frozenset[str]()
    played = await play(choose("auto"), STUB, tests, script, flaky=named)
    assert played.stop.verdict == "passed"
    assert played.model.asked == asked
    assert judge.flaky(played.state) == tuple(named)
    assert replay(played.events) == played.state
