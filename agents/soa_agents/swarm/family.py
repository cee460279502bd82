"""How a reply changes the tree of agents: helpers that come, stay and go. Pure."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import lru_cache

from soa_agents.errors import HelpersWrong
from soa_agents.swarm.actions import Ask
from soa_agents.swarm.code import Definition, Written
from soa_agents.swarm.events import Target
from soa_agents.swarm.imports import module_names
from soa_agents.swarm.replies.reply import Expect
from soa_agents.swarm.source import words
from soa_agents.swarm.state import Node, State
from soa_agents.workspace.functions import dedented, functions
from soa_agents.workspace.ids import FunctionId

_EXAMPLE = re.compile(r"^\s*(?:>>>|\.\.\.) (.*)", re.MULTILINE)  # a line of code in a docstring


def source_of(texts: Mapping[str, str], function: FunctionId) -> str:
    """The dedented source of a function as the workspace has it, or nothing when it is no function."""
    text = texts.get(function.path, "")
    found = next((f for f in functions(function.path, text) if f.id == function), None)
    return dedented(text, found) if found else ""


def with_members(state: State, asks: Iterable[Ask]) -> State:
    """The state in which everybody who is asked is there: members of a team join with their first call."""
    new = {ask.agent: ask for ask in asks if ask.agent not in state.nodes}
    if not new:
        return state
    members = {agent: _member(state, ask) for agent, ask in new.items()}
    return replace(state, nodes={**state.nodes, **members})


def _member(state: State, ask: Ask) -> Node:
    known, depth = state.nodes[ask.target], state.job.limits.depth
    return Node(ask.agent, known.function, known.spec, parent=ask.target, depth=depth, role=ask.role)


def expectation(state: State, node: Node, ask: Ask) -> Expect:
    """What a reply of this agent must look like."""
    text = state.texts.get(node.function.path, "")
    mine = {h.qualname: h.source for h in node.written.helpers} if node.written else {}
    return Expect(
        function=node.function,
        module=text,
        spec=node.spec,
        mine=mine,
        taken=module_names(text) - set(mine),
        helpers_allowed=ask.step != "code" and node.depth < state.job.limits.depth,
        abstain_allowed=ask.step == "code",
    )


def adopt(state: State, node: Node, written: Written) -> State:
    """The state in which `node` has written this: her Children are those her code now needs.

    Helpers that the new reply leaves out but still calls stay as they are. A Child whose stub changed its
    signature has to write anew; a changed docstring alone only changes what she goes by. Raises
    `HelpersWrong` when the reply wants more agents than the job allows.
    """
    written = _with_what_it_still_uses(written, node.written)
    helpers = _helpers(state, node, written)
    nodes = {**state.nodes, **{child.agent: child for child in helpers}}
    kept = tuple(child for child in node.children if _is_callee(state.nodes[child]))
    nodes[node.agent] = replace(
        node,
        written=written,
        before=node.written,
        revision=node.revision + 1,
        children=(*(child.agent for child in helpers), *kept),
    )
    after = _with_callees(replace(state, nodes=nodes), state.root_of(node.agent))
    if len(after.nodes) > max(state.job.limits.agents, len(state.nodes)):
        room = max(0, state.job.limits.agents - len(state.nodes))
        raise HelpersWrong(
            f"That is too many helpers: at most {room} more may be left to others (soa.limits.agents). "
            "Send everything again, the remaining helpers with whole bodies of your own."
        )
    return after


def _with_what_it_still_uses(written: Written, before: Written | None) -> Written:
    """The reply with those of the agent's earlier helpers, statements and imports that its code names."""
    if before is None:
        return written
    given = {h.qualname for h in written.helpers}
    helpers = list(written.helpers)
    sources = [written.source, *written.statements, *(h.source for h in helpers)]
    for _ in before.helpers:  # a kept helper may call another, so look again, at most once for each
        used = words("\n".join(sources))
        more = [h for h in before.helpers if h.qualname not in given and h.qualname.split(".")[-1] in used]
        helpers += more
        given |= {h.qualname for h in more}
        sources += [h.source for h in more]
    used = words("\n".join(sources))
    anew = module_names("\n".join(written.statements))
    statements = [s for s in before.statements if used & module_names(s) and not anew & module_names(s)]
    imports = [i for i in before.imports if used & module_names(i)]
    return replace(
        written,
        helpers=tuple(helpers),
        statements=tuple(dict.fromkeys((*statements, *written.statements))),
        imports=tuple(dict.fromkeys((*imports, *written.imports))),
    )


def _helpers(state: State, node: Node, written: Written) -> list[Node]:
    if node.depth >= state.job.limits.depth:
        return []
    return [_helper(state, node, each) for each in written.helpers if each.is_stub]


def _helper(state: State, mother: Node, stub: Definition) -> Node:
    agent = f"{mother.agent}/{stub.qualname}"
    known = state.nodes.get(agent)
    if known is None:
        function = FunctionId(mother.function.path, stub.qualname)
        return Node(agent, function, stub.source, mother.agent, mother.depth + 1, new=True)
    if known.spec == stub.source:
        return known
    changed = replace(known, spec=stub.source, brief=known.brief + 1)
    return (
        changed
        if _head(known.spec) == _head(stub.source)
        else replace(changed, written=None, before=known.written)
    )


def _with_callees(state: State, root: str) -> State:
    """The state in which every stub of the workspace that the family needs by now is an agent of it: one that
    its code calls, or a function that its examples name, which fail without.

    Whichever of them calls it, it belongs to the root: several may, in any order, and each may stop to.
    """
    mother = state.nodes[root]
    if mother.depth >= state.job.limits.depth:
        return state
    targets = {target.function for target in state.job.targets}
    if all(stub in targets for reach in state.job.stubs.values() for stub in reach.values()):
        return state
    helpers = [child for child in mother.children if not _is_callee(state.nodes[child])]
    pending = [mother, *(node for child in helpers for node in state.family(child))]
    nodes, callees = dict(state.nodes), set[str]()
    while pending:
        node = pending.pop()
        for stub in (stubs_called(state, node) | _functions_shown(state, node)) - targets:
            agent = f"{root}>{stub}"
            if agent in callees:
                continue
            callees.add(agent)
            if agent in nodes:
                pending += state.family(agent)
                continue
            function = FunctionId.parse(stub)
            nodes[agent] = Node(agent, function, source_of(state.texts, function), root, mother.depth + 1)
    nodes[root] = replace(mother, children=(*helpers, *sorted(callees)))
    return replace(state, nodes=nodes)


def _is_callee(node: Node) -> bool:
    """Whether its function is a stub of the workspace that another agent needs."""
    return node.parent is not None and not node.new


def stubs_called(state: State, node: Node) -> set[str]:
    """The stubs of the workspace that what the agent has written calls, as FunctionIds."""
    reach = state.job.stubs.get(node.function.path, {})
    if not reach or node.written is None:
        return set()
    sources = (node.written.source, *(each.source for each in node.written.helpers))
    return {reach[name] for source in sources for name in _called(source) if name in reach}


def needs(state: State, target: Target) -> frozenset[str]:
    """The other targets that a target called before, and the stubs among them that its new code calls or the
    examples of its docstring name."""
    root = target.function
    called = {stub for node in state.family(root) for stub in stubs_called(state, node)}
    called |= _stubs_shown(state, state.nodes[root])
    others = {other.function for other in state.job.targets} if called else called
    return frozenset((*target.needs, *(called & others - {root})))


def _stubs_shown(state: State, node: Node) -> set[str]:
    """The stubs of the workspace that the examples of the agent's docstring name: those fail before these."""
    shown, reach = _shown(node.spec), state.job.stubs.get(node.function.path, {})
    last = {stub: spelling.rpartition(".") for spelling, stub in reach.items()} if shown else {}
    return {s for s, (owner, _, name) in last.items() if (owner if name == "__init__" else name) in shown}


def _functions_shown(state: State, node: Node) -> set[str]:
    """Those of them that are functions of a module: the name of a method may be that of another class'."""
    shown, reach = _shown(node.spec), state.job.stubs.get(node.function.path, {})
    return {reach[name] for name in shown & reach.keys()} - {str(node.function)}


def _shown(spec: str) -> frozenset[str]:
    """The words in the examples of a docstring."""
    return words("\n".join(_EXAMPLE.findall(spec))) if ">>>" in spec else frozenset()


def all_needs(
    state: State, target: Target, needs_of: Callable[[State, Target], frozenset[str]] = needs
) -> frozenset[str]:
    """What a target needs, and what that needs in turn: none of it runs without the rest.

    `needs_of` says it of one target: `needs`, or what remembers that.
    """
    found = needs_of(state, target)
    if not found:
        return found  # most need nothing: nothing grows with the job for them
    targets, pending = {each.function: each for each in state.job.targets}, [*found]
    while pending:
        more = needs_of(state, targets[pending.pop()]) - found - {target.function}
        found |= more
        pending += more
    return found


def _head(source: str) -> str:
    """The signature of a definition in a normal form, to tell whether it changed."""
    definition = ast.parse(source).body[0]
    if isinstance(definition, ast.FunctionDef | ast.AsyncFunctionDef):
        definition.body = [ast.Pass()]
    return ast.dump(definition)


@lru_cache(maxsize=1024)
def _called(source: str) -> frozenset[str]:
    """Every dotted name that is called or handed on: `f`, `module.f`, `self.f`."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name | ast.Attribute):
            names.add(ast.unparse(node))
    return frozenset(names)
