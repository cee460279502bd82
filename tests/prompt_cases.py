"""A small workspace and the states of a job on it, as prompts and views are tried on them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from soa_agents.models.port import Step
from soa_agents.settings import Limits
from soa_agents.swarm.actions import Ask, Verify
from soa_agents.swarm.code import Definition, Written
from soa_agents.swarm.events import JobStarted, Target
from soa_agents.swarm.state import Attempt, Node, Progress, State
from soa_agents.swarm.views.elsewhere import by_word
from soa_agents.swarm.views.view import Viewer
from soa_agents.verify.report import Frame, Report, Selection, TestResult
from soa_agents.workspace.functions import dedented, functions
from soa_agents.workspace.ids import FunctionId

INVOICE = '''\
"""Invoices.

`read_rate(text)` reads a tax rate: "19 %" is 0.19, "" is 0.0; a negative rate is a ValueError.
"""

from __future__ import annotations

from dataclasses import dataclass

from shop.money import round_half_up

FREE_FROM = 50_00  # cents
UNITS = {"pc": 1, "dz": 12}


@dataclass
class Line:
    """One line of an invoice."""

    article: str
    cents: int
    count: str = "1 pc"


def total_due(lines: list[Line], rate: float) -> int:
    """The sum of all lines in cents, tax included.

    Target: the tax office
    Step: rounding is half up.
    """
    raise NotImplementedError


def net(lines: list[Line]) -> int:
    """The sum of all lines without tax."""
    return sum(line.cents for line in lines)


class Basket:
    """What somebody wants to buy."""

    limit = 10

    def __init__(self, owner: str) -> None:
        self.owner = owner
        self.lines: list[Line] = []

    def add(self, line: Line) -> None:
        """Put a line into the basket."""
        self.lines.append(line)

    @property
    def is_full(self) -> bool:
        """Whether nothing more goes in."""
        return len(self.lines) > self.limit
'''
MONEY = '''\
"""Money in cents."""


def round_half_up(value: float) -> int:
    """Round to whole cents, halves away from zero."""
    return int(value + 0.5)


def total_in_words(cents: int) -> str:
    """A total as cheques spell it."""
    return f"{cents} cents"
'''
REPORT = '''\
"""Reports."""

from shop.invoice import Line, total_due


def summary(lines: list[Line]) -> str:
    """One line on what is to be paid."""
    due = total_due(lines, 0.19)
    return f"{len(lines)} lines, {due} cents"
'''
CONFTEST = """\
import pytest

from shop.invoice import Line


@pytest.fixture
def lines():
    return [Line("apple", 100), Line("pear", 250, "2 dz")]


@pytest.fixture
def unrelated():
    return None
"""
TESTS = """\
import pytest

from shop.invoice import Basket, Line, total_due

RATE = 0.19


def test_nothing_costs_nothing():
    assert total_due([], RATE) == 0


@pytest.mark.parametrize("rate", [0.07, 0.19])
def test_counts_dozens(lines, rate):
    assert total_due(lines, rate) == round(6100 * (1 + rate))


class TestBasket:
    def test_full(self):
        basket = Basket("ann")
        assert not basket.is_full
        basket.lines = [Line("apple", 1)] * 10
        assert basket.is_full
"""
TEXTS = {
    "conftest.py": CONFTEST,
    "shop/__init__.py": "",
    "shop/invoice.py": INVOICE,
    "shop/money.py": MONEY,
    "shop/report.py": REPORT,
    "tests/test_invoice.py": TESTS,
}
ROOT = "shop/invoice.py::total_due"
CHILD = f"{ROOT}/_quantity"
METHOD = "shop/invoice.py::Basket.is_full"
MODULE = "shop/invoice.py::<module>"
AGENTS_MD = "# Working here\n\nDocstrings are plain sentences.\n\nRun `make`.\n"

STUB = '''\
def _quantity(text: str) -> int:
    """The number of pieces that a quantity column means.

    >>> _quantity("2 dz")
    24
    """
    ...
'''.strip()
HELPER = STUB.replace("    ...", "    return int(text.split()[0]) * UNITS[text.split()[1]]")
FIRST = '''\
def total_due(lines: list[Line], rate: float) -> int:
    """The sum of all lines in cents, tax included.

    Target: the tax office
    Step: rounding is half up.
    """
    return sum(line.cents for line in lines)
'''.strip()
SECOND = '''\
def total_due(lines: list[Line], rate: float) -> int:
    """The sum of all lines in cents, tax included.

    Target: the tax office
    Step: rounding is half up.
    """
    net = sum(line.cents * _quantity(line.count) for line in lines)
    return math.floor(net * (1 + rate) + 0.5)
'''.strip()
RED = Report(
    (
        TestResult(
            "tests/test_invoice.py::test_nothing_costs_nothing", "passed", ran=(FunctionId.parse(ROOT),)
        ),
        TestResult(
            "tests/test_invoice.py::test_counts_dozens[0.07]",
            "failed",
            message="KeyError: 'pieces'",
            frames=(
                Frame("tests/test_invoice.py", 15, "test_counts_dozens", "assert total_due(lines, rate)"),
                Frame("shop/invoice.py", 40, "_quantity", "UNITS[text.split()[1]]"),
            ),
            ran=(FunctionId.parse(ROOT), FunctionId("shop/invoice.py", "_quantity")),
        ),
    )
)


@dataclass(frozen=True)
class Calls:
    """A call graph given as caller → callees."""

    edges: Mapping[FunctionId, tuple[FunctionId, ...]] = field(default_factory=dict)

    def callees(self, function: FunctionId) -> Iterable[FunctionId]:
        return self.edges.get(function, ())

    def callers(self, function: FunctionId) -> Iterable[FunctionId]:
        return [caller for caller, called in self.edges.items() if function in called]


CALLS = Calls({FunctionId("shop/report.py", "summary"): (FunctionId.parse(ROOT),)})


def for_model(report: Report, function: FunctionId, limit: int) -> str:
    """A plain rendering of a report."""
    told = [f"{r.nodeid} {r.outcome}: {r.message}" for r in report.results if not r.passed]
    return "\n".join(told)[:limit]


def viewer(texts: Mapping[str, str] = TEXTS, context_tokens: int = 16_000) -> Viewer:
    return Viewer(
        texts,
        CALLS,
        for_model,
        context_tokens,
        documents={"AGENTS.md": AGENTS_MD},
        python="3.12",
        known=by_word(f.id for p, t in texts.items() if "test" not in p for f in functions(p, t)),
    )


def state(*targets: Target, texts: Mapping[str, str] = TEXTS) -> State:
    """A job that has just started on these targets."""
    stubs = {"shop/report.py": {"total_due": ROOT}}
    job = JobStarted("j", "generate", "mother_child", targets, dict(texts), stubs, Limits(), {}, 0, 0.0)
    nodes = {t.function: _node(FunctionId.parse(t.function), texts) for t in targets}
    return State(job=job, nodes=nodes, texts=dict(texts), root=targets[0].function)


def _node(function: FunctionId, texts: Mapping[str, str]) -> Node:
    text = texts[function.path]
    found = [dedented(text, f) for f in functions(function.path, text) if f.id == function]
    return Node(str(function), function, "".join(found))


def fresh(function: str = ROOT, goal: str = "generate") -> State:
    """Nothing is written yet."""
    tests = {ROOT: ("test_nothing_costs_nothing", "test_counts_dozens"), METHOD: ("TestBasket::test_full",)}
    ids = tuple(f"tests/test_invoice.py::{name}" for name in tests.get(function, ()))
    return state(Target(function, goal, ids))  # type: ignore[arg-type]  # the cases name goals


def grown() -> State:
    """The Mother has rewritten her function once, her Child has written hers, and a test fails."""
    old = Written(FIRST, (Definition("_quantity", STUB, True),))
    new = Written(SECOND, (Definition("_quantity", STUB, True),), imports=("import math",))
    begun = fresh()
    mother = replace(begun.nodes[ROOT], written=new, before=old, revision=2, children=(CHILD,))
    helper = FunctionId("shop/invoice.py", "_quantity")
    child = Node(CHILD, helper, STUB, ROOT, 2, new=True, written=Written(HELPER), revision=1)
    run = Verify("run", (), Selection())
    keys = {
        "run": Progress(run, done=True, report=RED),
        "seen": Progress(
            Ask("seen", ROOT, "feedback", ROOT, about="run"),
            done=True,
            text="_quantity does not know the unit 'pieces'.\nStep: modify",
        ),
        "own": Progress(
            Ask("own", CHILD, "feedback", str(helper), about="run", observation="seen"),
            done=True,
            text="The unit is looked up without a default.",
        ),
    }
    return replace(begun, nodes={ROOT: mother, CHILD: child}, keys=keys)


def unborn_child() -> State:
    """The Mother has written; her Child has not."""
    begun = grown()
    return replace(begun, nodes={**begun.nodes, CHILD: replace(begun.nodes[CHILD], written=None)})


def refused() -> State:
    """The first reply to the key `k` broke its format."""
    ask = Ask("k", ROOT, "skeleton", ROOT)
    attempt = Attempt("Sure, here it is.", "Your reply holds no code.\nTarget: x\nSend one block.")
    return replace(fresh(), keys={"k": Progress(ask, attempts=(attempt,))})


def ask(step: Step, agent: str = ROOT, about: str = "", observation: str = "") -> Ask:
    path, _, name = agent.partition("::")
    target = f"{path}::{name.rpartition('/')[2]}"
    return Ask("k", agent, step, target, about, observation)


CASES: dict[str, tuple[State, Ask]] = {
    "skeleton": (fresh(), ask("skeleton")),
    "skeleton_of_a_method": (fresh(METHOD, "regenerate"), ask("skeleton", METHOD)),
    "skeleton_again": (refused(), ask("skeleton")),
    "code": (unborn_child(), ask("code", CHILD)),
    "feedback": (grown(), ask("feedback", about="run")),
    "feedback_of_a_child": (grown(), ask("feedback", CHILD, about="run", observation="seen")),
    "modify": (grown(), ask("modify", about="run", observation="seen")),
    "modify_of_a_child": (grown(), ask("modify", CHILD, about="run", observation="own")),
    "tests": (grown(), ask("tests", CHILD, about="run", observation="seen")),
    "stubs": (fresh(MODULE, "stubs"), ask("stubs", MODULE)),
}
