"""What is printed: a running job as a live tree on a terminal, as plain lines when piped; diffs in colour."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext

from rich.console import Console
from rich.live import Live
from rich.text import Text
from soa_agents.models.port import Usage
from soa_agents.swarm.job import AgentUpdate

from soa_server.cli import board as boards
from soa_server.cli import words
from soa_server.cli.board import Board

MANY = 8  # functions of a job that are shown as a whole tree


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

    On a terminal the tree redraws in place; of a job of many functions those at work and a line of counts.
    When piped there is a line for every step that ended, of many functions one whenever another passes its
    tests, or, with `whole`, the finished tree alone.
    """

    def __init__(self, out: Console, indent: str = "", *, whole: bool = False) -> None:
        self.board = Board()
        self._passing = 0
        self._lines = not out.is_terminal and not whole
        self._out = out
        self._indent = indent
        self._note = ""
        self._began, self._usage = time.monotonic(), Usage()
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
        if self._lines and self._many and (counts := boards.counts(self.board)).passing != self._passing:
            self._passing = counts.passing
            self._out.print(Text(f"{self._indent}{self._summary(counts)}"))

    def spent(self, usage: Usage) -> None:
        """What the job has used by now."""
        self._usage = usage

    def note(self, message: str) -> None:
        """What the job is doing now."""
        if message != self._note and self._lines:
            self._out.print(Text(f"{self._indent}{message}"))
        self._note = message

    @property
    def _many(self) -> bool:
        return boards.counts(self.board).functions > MANY

    def _summary(self, counts: boards.Counts) -> str:
        """`12 of 30 functions pass, 3 are written, 2 tested   45 calls · 120k tokens   4 min 10 s`."""
        now = f"{counts.passing} of {counts.functions} functions pass"
        now += f", {counts.writing} being written" if counts.writing else ""
        now += f", {counts.testing} being tested" if counts.testing else ""
        used = words.spent(self._usage, 0, " · ")
        return f"{now}   {used}   {words.duration(time.monotonic() - self._began)}"

    def _tree(self) -> Text:
        many = self._many
        shown_board = boards.active(self.board) if many else self.board
        lines = boards.lines(shown_board)
        if many:
            room = max(3, self._out.height - 4)
            more = len(lines) - room
            lines = [*lines[:room], *([f"and {more} more"] if more > 0 else [])]
            lines.append(self._summary(boards.counts(self.board)))
        rows = [self._indent + line for line in lines]
        shown = Text("\n").join(coloured(row) for row in rows)
        if self._note:
            shown.append(("\n" if rows else "") + self._indent + self._note, "dim")
        return shown
