"""What is printed: a running job as a live tree on a terminal, as plain lines when piped; diffs in colour."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from rich.console import Console
from rich.live import Live
from rich.text import Text
from soa_agents.swarm.job import AgentUpdate

from soa_server.cli import board as boards
from soa_server.cli.board import Board


def console(*, stderr: bool = False) -> Console:
    """A console that colours only terminals, honours NO_COLOR and never wraps or styles by guessing."""
    return Console(stderr=stderr, highlight=False, soft_wrap=True)


def coloured(line: str) -> Text:
    """A line of a tree or list with its marks in colour."""
    text = Text(line)
    text.highlight_regex(r"✓|\bok\b", "green")
    text.highlight_regex(r"✗|!!", "red")
    text.highlight_regex(r"[├└│]─?", "dim")
    return text


def diff(text: str, indent: str = "") -> Text:
    """A unified diff behind `indent`, added and removed lines in colour."""
    shown = Text()
    for line in text.splitlines(keepends=True):
        style = "bold" if line.startswith(("--- ", "+++ ")) else _STYLES.get(line[:1], "")
        shown.append(indent).append(line, style)
    return shown


_STYLES = {"+": "green", "-": "red", "@": "cyan"}


class Progress:
    """The agents of a running job as they are heard of.

    On a terminal the tree redraws in place. When piped there is a line for every step that ended or, with
    `whole`, the finished tree alone.
    """

    def __init__(self, out: Console, indent: str = "", *, whole: bool = False) -> None:
        self.board = Board()
        self._lines = not out.is_terminal and not whole
        self._out = out
        self._indent = indent
        self._note = ""
        live = Live(get_renderable=self._tree, console=out, refresh_per_second=8, redirect_stdout=False)
        self._live: AbstractContextManager[object] = live if out.is_terminal else nullcontext()

    def __enter__(self) -> Progress:
        self._live.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self._note = ""
        self._live.__exit__(None, None, None)
        if not self._lines and not self._out.is_terminal and self.board.agents:
            self._out.print(self._tree())

    def agent(self, update: AgentUpdate) -> None:
        """One more update."""
        before = self.board.agents.get(update.agent_id)
        self.board = boards.heard(self.board, update)
        now = self.board.agents[update.agent_id]
        told = boards.way(before) if before else ""
        if self._lines and boards.way(now) != told and not boards.way(now).endswith("…"):
            self._out.print(Text(f"{self._indent}{now.name}   {now.role.title()}   {boards.way(now)}"))

    def note(self, message: str) -> None:
        """What the job is doing now."""
        if message != self._note and self._lines:
            self._out.print(Text(f"{self._indent}{message}"))
        self._note = message

    def _tree(self) -> Text:
        rows = [self._indent + line for line in boards.lines(self.board)]
        shown = Text("\n").join(coloured(row) for row in rows)
        if self._note:
            shown.append(("\n" if rows else "") + self._indent + self._note, "dim")
        return shown
