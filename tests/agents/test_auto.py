"""The rule of `auto`: who writes a function where nobody chose a protocol."""

from __future__ import annotations

import pytest
from agents.playground import PATH, play
from agents.test_protocols import (
    MEAN,
    MEAN_RIGHT,
    MEAN_TESTS,
    PLAN,
    RIGHT,
    STUB,
    TESTS,
    WRONG,
    block,
)
from soa_agents.protocols import auto, choose
from soa_agents.settings import Limits
from soa_agents.swarm.actions import Ask
from soa_agents.swarm.state import State

LONG = 'def total(items):\n    """Adds.\n' + "\n    A rule of its own.\n" * 4 + '    """\n    ...\n'
WIDE = 'def total(items, a=1, b=2, c=3, d=4):\n    """Adds."""\n    ...\n'
OTHER_STUB = STUB + '\n\ndef line(p, n):\n    """Product."""\n    ...\n'
MANY_TESTS = {**TESTS, **{f"t::{n}": f"total([({n}, 2)]) == {2 * n}" for n in range(auto.TESTS)}}

RULE = {  # the module, its tests, whether the function is small
    "a line and two tests": (STUB, TESTS, True),
    "a long docstring": (LONG, TESTS, False),
    "many parameters": (WIDE, TESTS, False),
    "many tests": (STUB, MANY_TESTS, False),
    "another stub within reach": (OTHER_STUB, TESTS, False),
}


@pytest.mark.parametrize(("text", "tests", "small"), RULE.values(), ids=RULE)
async def test_a_small_function_is_first_written_by_one_agent_who_is_told_so(
    text: str, tests: dict[str, str], small: bool
) -> None:
    played = await play(choose("auto"), text, tests, {"total": {"skeleton": [RIGHT]}})
    first = played.state.keys[f"{PATH}::total:write0"].action
    assert isinstance(first, Ask)
    assert (first.note == auto.ALONE) == small


async def test_what_is_red_alone_goes_on_as_a_mother_with_what_she_wrote() -> None:
    """Nothing that was paid is asked for again, and now she may leave a part to a Child."""
    mother = block(
        "def total(items):\n    return sum(_line(p, n) for p, n in items)\n\n\n"
        'def _line(p, n):\n    """Product.\n\n    >>> _line(2, 3)\n    6\n    """\n    ...'
    )
    script = {
        "total": {"skeleton": [WRONG], "feedback": ["Multiply."], "modify": [mother]},
        "_line": {"code": [block("def _line(p, n):\n    return p * n")]},
    }
    played = await play(choose("auto"), STUB, TESTS, script)
    assert played.stop.verdict == "passed"
    assert played.model.asked == ["total skeleton", "total feedback", "total modify", "_line code"]


async def test_a_model_that_cannot_keep_a_mothers_format_gets_one_fixed_role() -> None:
    bare = "def total(items):\n    return sum(_line(p, n) for p, n in items)\n\n\ndef _line(p, n):\n    ..."
    script = {"total": {"skeleton": [block(bare)], "code": [WRONG, RIGHT]}}
    played = await play(choose("auto"), STUB, TESTS, script)
    assert played.stop.verdict == "passed"
    assert played.model.asked == ["total skeleton"] * 3 + ["total code"] * 2


@pytest.mark.parametrize("reply", ["I would split this.", block("def other():\n    return 1")])
async def test_a_model_that_never_writes_the_function_is_asked_three_times_and_no_more(reply: str) -> None:
    played = await play(choose("auto"), STUB, TESTS, {"total": {"skeleton": [reply], "code": [RIGHT]}})
    assert played.stop.verdict == "failed"
    assert played.model.asked == ["total skeleton"] * 3


async def test_who_was_asked_alone_from_the_start_is_not_asked_alone_again() -> None:
    """At the depth limit the first write has the plainest format already."""
    bare = "def total(items):\n    return sum(_line(p, n) for p, n in items)\n\n\ndef _line(p, n):\n    ..."
    script = {"total": {"code": [block(bare)]}}
    played = await play(choose("auto"), STUB, TESTS, script, limits=Limits(depth=1))
    assert (played.stop.verdict, played.model.asked) == ("failed", ["total code"] * 3)


async def test_few_functions_have_no_planner_and_many_have() -> None:
    count = auto.MANY + 1
    names = tuple(f"part{n}" for n in range(count))
    text = "\n\n".join(f'def {name}(x):\n    """Adds {n}."""\n    ...\n' for n, name in enumerate(names))
    tests = {f"t::{name}": f"{name}(1) == {n + 1}" for n, name in enumerate(names)}
    script = {
        name: {"plan": [PLAN], "skeleton": [block(f"def {name}(x):\n    return x + {n}")]}
        for n, name in enumerate(names)
    }
    played = await play(choose("auto"), text, tests, script, roots=names)
    assert (played.stop.verdict, played.model.asked[0]) == ("passed", "part0 plan")
    script = {"total": {"skeleton": [RIGHT]}, "mean": {"skeleton": [MEAN_RIGHT]}}
    few = await play(
        choose("auto"), MEAN, MEAN_TESTS, script, roots=("total", "mean"), needs={"mean": "total"}
    )
    assert (few.stop.verdict, sorted(few.model.asked)) == ("passed", ["mean skeleton", "total skeleton"])


ROLES = {  # protocol, the reply to who is asked first, whose role is known by it, and how she is called
    "planner": ("planner_worker", "plan:0", "planner"),
    "coordinator": ("coordinator", f"{PATH}::total#0", "coordinator"),
}


@pytest.mark.parametrize(("protocol", "agent", "role"), ROLES.values(), ids=ROLES)
async def test_who_owns_no_function_is_called_by_what_she_does(protocol: str, agent: str, role: str) -> None:
    seen: dict[str, str] = {}

    def heard(state: State, event: object) -> None:
        seen.update({node.agent: node.role for node in state.nodes.values()})

    script = {
        "total": {"plan": [PLAN], "skeleton": [RIGHT], "code": [RIGHT]},
        "mean": {"skeleton": [MEAN_RIGHT]},
    }
    await play(choose(protocol), MEAN, MEAN_TESTS, script, roots=("total", "mean"), heard=heard)
    assert seen[agent] == role
