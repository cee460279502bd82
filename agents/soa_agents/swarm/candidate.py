"""From agents to files: what a root's agents have written, as one patch. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

from soa_agents.patch import Patch
from soa_agents.swarm.actions import Verify
from soa_agents.swarm.assembly.assemble import Piece, assemble, settled, stubs_patch, tests_patch
from soa_agents.swarm.state import Node, State
from soa_agents.workspace.ids import FunctionId


def pieces(state: State, root: str, branch: str = "") -> tuple[Piece, ...]:
    """What the root's family has written so far, Mothers before their Children.

    With a `branch`, an agent's id, only what she, those below her and those above her wrote.
    """
    chosen = {node.agent for node in _branch(state, branch or root)}
    return tuple(
        Piece(
            function=node.function,
            anchor=_anchor(state, node),
            new=node.new,
            written=node.written,
            agent=node.agent,
            mother=node.parent or "",
        )
        for node in state.family(root)
        if node.agent in chosen and node.written is not None and not node.written.abstained
    )


def _branch(state: State, agent: str) -> Iterator[Node]:
    """An agent with all below her and above her."""
    yield from state.family(agent)
    while (mother := state.nodes[agent].parent) is not None:
        agent = mother
        yield state.nodes[agent]


def renamed(state: State, written: Sequence[Piece]) -> tuple[tuple[str, FunctionId], ...]:
    """The agents whose functions are called otherwise where the pieces are put together.

    Of two helpers of one name, of different Mothers, the second is.
    """
    paths = sorted({piece.function.path for piece in written})
    return _renamed(tuple((path, state.texts[path]) for path in paths), tuple(written))


@lru_cache(maxsize=128)
def _renamed(
    texts: tuple[tuple[str, str], ...], written: tuple[Piece, ...]
) -> tuple[tuple[str, FunctionId], ...]:
    own = {piece.agent: piece.function for piece in written}
    together = ((piece.agent, piece.function) for piece in settled(dict(texts), written))
    return tuple(sorted((agent, name) for agent, name in together if name != own[agent]))


def called(state: State, run: str, node: Node) -> FunctionId:
    """What the agent's function was called in the test run of that key."""
    action = state.keys[run].action
    return (
        dict(action.renamed).get(node.agent, node.function) if isinstance(action, Verify) else node.function
    )


def patch_of(texts: Mapping[str, str], written: Sequence[Piece]) -> Patch:
    """One patch of the pieces: functions spliced into their files, or stubs put by their docstring."""
    stubs = [piece for piece in written if not piece.written.source]
    if stubs:
        piece = stubs[0]
        path = piece.function.path
        return stubs_patch(
            texts[path], path, piece.function.qualname, piece.written.helpers, piece.written.imports
        )
    return assemble(texts, written)


def files_of(texts: Mapping[str, str], written: Sequence[Piece]) -> tuple[tuple[str, str], ...]:
    """The whole texts of the files that the pieces change."""
    paths = sorted({piece.function.path for piece in written})
    return _files_of(tuple((path, texts[path]) for path in paths), tuple(written))


@lru_cache(maxsize=128)  # protocols ask for the same ones at every event
def _files_of(texts: tuple[tuple[str, str], ...], written: tuple[Piece, ...]) -> tuple[tuple[str, str], ...]:
    known = dict(texts)
    return tuple(sorted(patch_of(known, written).apply(known).items()))


def with_advice(patch: Patch, path: str, source: str) -> Patch:
    """The patch with the advisory tests as a new file of their own group."""
    tests = tests_patch(path, None, source)
    return Patch((*patch.edits, *tests.edits), (*patch.created, *tests.created))


def _anchor(state: State, node: Node) -> FunctionId:
    while node.new and node.parent is not None:
        node = state.nodes[node.parent]
    return node.function
