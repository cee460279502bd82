"""Code of several agents in the same files: every name keeps the meaning that its author gave it.

Trees of agents with colliding names are drawn at random, together with the values their functions have to
return. The assembled module is run: a helper that was taken for another one's gives another value.
"""

from __future__ import annotations

import ast
import os
import random
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from agents.playground import started
from hypothesis import given, settings
from hypothesis import strategies as st
from soa_agents.patch import Patch
from soa_agents.settings import Limits
from soa_agents.swarm import candidate
from soa_agents.swarm.assembly.assemble import Piece, assemble
from soa_agents.swarm.code import Definition, Written
from soa_agents.swarm.state import Node, State
from soa_agents.workspace.functions import functions
from soa_agents.workspace.ids import FunctionId

SHOP = '''"""A shop: äö😀."""

import os

SIZE = 1


def plain(x):
    """Doc.

      Moved in.
    """
    pass  # to do


# About Box.
class Box:
    size = 1
    _a_2 = 1

    def put(self, x):
        ...
        # TODO: soon

    @property
    def area(self):
        """Doc."""

    def last(self, x): ...


def outer(n):
    def inner(x):
        raise NotImplementedError
    return inner(n)


def short(x): ...


_b_2 = K_2 = 1
'''
OTHER = "def far(x):\n    ...\n\n\ndef near(x):\n    return [0, _keep(x)]\n\n\ndef _keep(x):\n    return 7"
ROOTS = {  # function -> how it is called
    ("shop.py", "plain"): "plain(0)",
    ("shop.py", "Box.put"): "Box().put(0)",
    ("shop.py", "Box.area"): "Box().area",
    ("shop.py", "Box.last"): "Box().last(0)",
    ("shop.py", "outer.<locals>.inner"): "outer(0)",
    ("shop.py", "short"): "short(0)",
    ("b.py", "far"): "far(0)",
    ("b.py", "near"): "near(0)",
}
NAMES = ("_a", "_b", "get", "K", "_C", "loads")
# Words that look like the names and are something else.
ODD = (
    "'_a'",
    "(lambda _a, K=1: [_a, K])(2, K=3)",
    "dict(_a=1, _b=2)",
    "f'_a K {1} {{K}}'",
    "[K for K in (1, 2)]",
    "{1: 2}.get(1)",
    "(lambda: Box._a_2)() and 3 if 'Box' in globals() else 3",
)


@dataclass
class Author:
    """One agent: what it wrote, the values its names have, and the agents of its helpers."""

    function: FunctionId
    new: bool
    written: Written
    value: object = None
    children: list[Author] = field(default_factory=list)


@dataclass(frozen=True)
class Task:
    """One function to write: `known` are the expressions its author may use for what her Mother has."""

    function: FunctionId
    new: bool
    known: Mapping[str, object] = field(default_factory=dict)
    depth: int = 2

    @property
    def owner(self) -> str:
        """The class it is a method of, if it is one."""
        return "Box" if self.function.qualname.startswith("Box.") else ""


@st.composite
def authors(draw: st.DrawFn, task: Task) -> Author:
    """A function that uses some of the names of its Mother and some that it brings itself."""
    own = task.function.qualname.rpartition(".")[2]
    chosen = draw(st.lists(st.sampled_from([n for n in NAMES if n != own]), unique=True, max_size=3))
    names = {call: value for call, value in task.known.items() if not about(call, [own, *chosen])}
    brought = Written("")
    children: list[Author] = []
    for name in chosen:
        call, value, brought, child = draw(additions(task, name, names, brought))
        names[call] = value
        children += child
    used = draw(st.lists(st.sampled_from(sorted(names)), unique=True)) if names else []
    tag, odd = draw(st.integers(0, 1)), draw(st.sampled_from(ODD))
    told = [each for each in used if draw(st.booleans())]
    shown = [f"f'{{{each}}}'" if each in told else each for each in used]
    source = f"{header_of(task)}\n    return [{', '.join([str(tag), odd, *shown])}]"
    value = [tag, eval(odd)]  # noqa: S307 - one of the texts above
    value += [str(names[each]) if each in told else names[each] for each in used]
    return Author(task.function, task.new, replace(brought, source=source), value, children)


@st.composite
def additions(
    draw: st.DrawFn, task: Task, name: str, names: Mapping[str, object], brought: Written
) -> tuple[str, object, Written, list[Author]]:
    """Something of that name: how it is used, its value, what is brought with it, the agent of a stub."""
    mark = draw(st.integers(0, 1))
    if name == "K":
        return name, mark, replace(brought, statements=(*brought.statements, f"K = {mark}")), []
    if name == "_C":
        code = f"class _C:\n    _a = {mark}\n    K = 9\n\n    def value(self):\n        return self._a + 10"
        return "_C().value()", mark + 10, replace(brought, statements=(*brought.statements, code)), []
    if name == "loads" and draw(st.booleans()):
        module = ("json", "marshal")[mark]
        source = f"from {module} import loads"
        return "loads.__module__", module, replace(brought, imports=(*brought.imports, source)), []
    method = bool(task.owner) and draw(st.booleans())
    below = {call: value for call, value in names.items() if method or not call.startswith("self.")}
    place = FunctionId(task.function.path, f"{task.owner}.{name}" if method else name)
    helper = Task(place, True, below, task.depth - 1)
    call, head = f"self.{name}(0)" if method else f"{name}(0)", header_of(helper)
    if task.depth and draw(st.booleans()):
        child = draw(authors(helper))
        stub = Definition(place.qualname, f'{head}\n    """Doc."""\n    ...', True)
        return call, child.value, replace(brought, helpers=(*brought.helpers, stub)), [child]
    more = draw(st.lists(st.sampled_from(sorted(below)), max_size=1)) if below else []
    whole = Definition(place.qualname, f"{head}\n    return [{', '.join([str(mark), *more])}]", False)
    value = [mark, *(below[each] for each in more)]
    return call, value, replace(brought, helpers=(*brought.helpers, whole)), []


def about(call: str, names: Iterable[str]) -> bool:
    """Whether an expression begins with one of the names."""
    return re.findall(r"\w+", call.removeprefix("self."))[0] in names


def header_of(task: Task) -> str:
    name = task.function.qualname.rpartition(".")[2]
    if name == "area":
        return "@property\ndef area(self):"
    return f"def {name}(self, x):" if task.owner else f"def {name}(x):"


@st.composite
def swarms(draw: st.DrawFn) -> tuple[dict[str, str], list[Author]]:
    """The texts of the files, and one tree of agents for each of some functions."""
    roots = draw(st.lists(st.sampled_from(sorted(ROOTS)), unique=True, min_size=1, max_size=4))
    trees = [draw(authors(Task(FunctionId(path, qualname), False))) for path, qualname in roots]
    shape = (
        draw(st.sampled_from(["\n", "\r\n", "\r"])),
        draw(st.booleans()),
        draw(st.sampled_from(["", "\ufeff"])),
    )
    return {path: shaped(text, *shape) for path, text in {"shop.py": SHOP, "b.py": OTHER}.items()}, trees


def shaped(text: str, newline: str, tabs: bool, mark: str) -> str:
    return mark + (text.replace("    ", "\t") if tabs else text).replace("\n", newline)


def state_of(texts: Mapping[str, str], trees: list[Author], order: random.Random) -> State:
    """The state of a job whose agents have written all this, in dicts that were filled in some order."""
    nodes: dict[str, Node] = {}

    def born(author: Author, agent: str, parent: str | None, depth: int) -> None:
        below = {f"{agent}/{each.function.qualname}": each for each in author.children}
        nodes[agent] = Node(
            agent,
            author.function,
            "",
            parent,
            depth,
            author.new,
            written=author.written,
            children=tuple(below),
        )
        for name, child in below.items():
            born(child, name, agent, depth + 1)

    for tree in trees:
        born(tree, str(tree.function), None, 1)
    filled = order.sample(sorted(nodes), len(nodes))
    job = started("def f(): ...", {}, (), Limits(), {})
    return State(job=job, nodes={agent: nodes[agent] for agent in filled}, texts=texts)


def assembled(texts: Mapping[str, str], trees: list[Author], order: random.Random) -> Patch:
    texts = {path: texts[path] for path in order.sample(sorted(texts), len(texts))}
    state = state_of(texts, trees, order)
    pieces: list[Piece] = []
    for tree in trees:
        pieces += candidate.pieces(state, str(tree.function))
    return assemble(texts, pieces)


@settings(max_examples=250, deadline=None)
@given(swarms(), st.randoms(use_true_random=False))
def test_every_name_keeps_its_meaning(
    swarm: tuple[dict[str, str], list[Author]], order: random.Random
) -> None:
    texts, trees = swarm
    patch = assembled(texts, trees, order)
    new = {**texts, **patch.apply(texts)}
    for path in {tree.function.path for tree in trees}:
        module: dict[str, object] = {}
        exec(compile(new[path].removeprefix("\ufeff"), path, "exec"), module)  # noqa: S102 - drawn above
        for tree in trees:
            if tree.function.path == path:
                value = eval(ROOTS[path, tree.function.qualname], module)  # noqa: S307 - a text above
                assert value == tree.value, new[path]
        tree = ast.parse(new[path].removeprefix("\ufeff"))
        lines = [ast.unparse(each) for each in tree.body if isinstance(each, ast.Import | ast.ImportFrom)]
        assert len(lines) == len({*lines}), "nothing is imported twice"
        defined = [each.id.qualname for each in functions(path, new[path])]
        assert not [name for name in defined if "#" in name], "no name is defined twice"


@settings(max_examples=50, deadline=None)
@given(swarms(), st.randoms(use_true_random=False))
def test_the_order_in_which_dicts_were_filled_does_not_show(
    swarm: tuple[dict[str, str], list[Author]], order: random.Random
) -> None:
    texts, trees = swarm
    assert assembled(texts, trees, order) == assembled(texts, trees, order)


@settings(max_examples=100, deadline=None)
@given(swarms(), st.randoms(use_true_random=False))
def test_what_nobody_wrote_stays(swarm: tuple[dict[str, str], list[Author]], order: random.Random) -> None:
    texts, trees = swarm
    patch = assembled(texts, trees, order)
    new = patch.apply(texts)
    assert patch.inverse(texts).apply(new) == {path: texts[path] for path in new}
    for path, text in new.items():
        ast.parse(text.removeprefix("\ufeff"))
        spans = {f.id.qualname: f.span for f in functions(path, texts[path])}
        left, rest = texts[path], text
        for edit in reversed([edit for edit in patch.edits if edit.path == path]):
            if edit.start < edit.end:  # the function asked for, with what stands for its code
                assert edit.group == "target" and edit.start == spans[edit.function].start
                behind = texts[path][spans[edit.function].end : edit.end]
                assert not behind.strip() or all(
                    line.strip()[:1] == "#" for line in behind.splitlines() if line
                )
            tail = left[edit.end :]
            assert rest.endswith(edit.new + tail)
            left, rest = left[: edit.start], rest.removesuffix(tail).removesuffix(edit.new)
        assert rest == left
        newline = "\r\n" if "\r\n" in texts[path] else "\r" if "\r" in texts[path] else "\n"
        assert not {"\r", "\n"} & set(text.replace(newline, ""))


HASHED = """
from soa_agents.errors import ReplyError
from soa_agents.swarm.assembly.assemble import Piece, assemble
from soa_agents.swarm.replies.reply import Expect, read_code
from soa_agents.workspace.ids import FunctionId

names = ["_alpha", "_beta", "_gamma", "_delta"]
text = "def f(x): ...\\n\\n\\ndef g(x): ...\\n"
pieces = []
for mark, function in enumerate("fg"):
    helpers = [f"def {name}(x): return {mark}\\n\\n{name.upper()} = {mark}\\n" for name in names]
    uses = ", ".join(f"{name}(x), {name.upper()}" for name in names)
    reply = f"```\\n{''.join(helpers)}def {function}(x):\\n    return {uses}\\n```"
    expect = Expect(FunctionId("m.py", function), text, f"def {function}(x): ...")
    pieces.append(Piece(expect.function, expect.function, False, read_code(reply, "stop", expect)))
    try:
        taken = frozenset(map(str.upper, names))
        read_code(reply, "stop", Expect(expect.function, text, expect.spec, taken=taken))
    except ReplyError as told:
        print(told)
print(assemble({"m.py": text}, pieces).apply({"m.py": text})["m.py"])
"""


def test_hashes_do_not_show() -> None:
    """Sets are walked in another order in every process; a job that is replayed must come out the same."""
    said = [
        subprocess.run(
            [sys.executable, "-c", HASHED],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    ]
    assert said[0] == said[1] == said[2]
    assert "_DELTA_2 = 1" in said[0] and "already taken" in said[0]
