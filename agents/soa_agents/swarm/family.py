"""How a reply changes the tree of agents: helpers that come, stay and go. Pure."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import replace

from soa_agents.errors import ReplyError
from soa_agents.swarm.actions import Ask
from soa_agents.swarm.code import Definition, Written
from soa_agents.swarm.imports import module_names
from soa_agents.swarm.replies.reply import Expect
from soa_agents.swarm.source import words
from soa_agents.swarm.state import Node, State
from soa_agents.workspace.functions import dedented, functions
from soa_agents.workspace.ids import FunctionId


def source_of(texts: Mapping[str, str], function: FunctionId) -> str:
    """The dedented source of a function as the workspace has it, or nothing when it is no function."""
    text = texts.get(function.path, "")
    found = next((f for f in functions(function.path, text) if f.id == function), None)
    return dedented(text, found) if found else ""


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
    signature has to write anew; a changed docstring alone only changes what she goes by. Raises `ReplyError`
    when the reply wants more agents than the job allows.
    """
    written = _with_what_it_still_uses(written, node.written)
    born = [child for child in _children(state, node, written) if child.agent not in state.nodes]
    if len(state.nodes) + len(born) > state.job.limits.agents:
        room = max(0, state.job.limits.agents - len(state.nodes))
        raise ReplyError(
            f"That is too many helpers: at most {room} more may be left to others. Write the remaining ones "
            "yourself, with their whole bodies, and send everything again."
        )
    children = _children(state, node, written)
    nodes = {**state.nodes, **{child.agent: child for child in children}}
    nodes[node.agent] = replace(
        node,
        written=written,
        before=node.written,
        revision=node.revision + 1,
        children=tuple(child.agent for child in children),
    )
    return replace(state, nodes=nodes)


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


def _children(state: State, node: Node, written: Written) -> list[Node]:
    if node.depth >= state.job.limits.depth:
        return []
    helpers = [_helper(state, node, h) for h in written.helpers if h.is_stub]
    return helpers + list(_stub_callees(state, node, written))


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


def _stub_callees(state: State, mother: Node, written: Written) -> Iterator[Node]:
    """The workspace's stubs that the new code calls; the first agent to call one becomes its Mother."""
    reach = state.job.stubs.get(mother.function.path, {})
    targets = {target.function for target in state.job.targets}
    called = {
        name for source in (written.source, *(h.source for h in written.helpers)) for name in _called(source)
    }
    for stub in sorted({reach[name] for name in called if name in reach} - targets):
        agent = f"{_root(mother.agent)}>{stub}"
        known = state.nodes.get(agent)
        if known is not None and known.parent != mother.agent:
            continue
        function = FunctionId.parse(stub)
        yield known or Node(agent, function, source_of(state.texts, function), mother.agent, mother.depth + 1)


def _root(agent: str) -> str:
    head, _, _ = agent.partition(">")
    path, _, rest = head.partition("::")
    return f"{path}::{rest.partition('/')[0]}"


def _head(source: str) -> str:
    """The signature of a definition in a normal form, to tell whether it changed."""
    definition = ast.parse(source).body[0]
    if isinstance(definition, ast.FunctionDef | ast.AsyncFunctionDef):
        definition.body = [ast.Pass()]
    return ast.dump(definition)


def _called(source: str) -> set[str]:
    """Every dotted name that is called or handed on: `f`, `module.f`, `self.f`."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name | ast.Attribute):
            names.add(ast.unparse(node))
    return names
