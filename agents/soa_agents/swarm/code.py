"""What agents write, as checked code: plain values between replies, state and assembly."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Definition:
    """One function that an agent wrote beside its own.

    `qualname` is where it belongs: `_helper` for a module-level function, `Class._helper` for a method of
    the target's class. `source` is dedented, decorators and docstring included, `\\n` line ends, no final one.
    """

    qualname: str
    source: str
    is_stub: bool


@dataclass(frozen=True, slots=True)
class Written:
    """A checked reply: the agent's own function and what it brought along.

    `source` is the whole target, dedented, with the decorators and signature of the workspace (or of the
    stub its Mother wrote) and with a docstring whenever there was one. `helpers` are new functions in the
    order given; stubs among them become agents. `statements` are new module-level classes, constants and
    type aliases the code needs. `imports` are single import statements.
    """

    source: str
    helpers: tuple[Definition, ...] = ()
    statements: tuple[str, ...] = ()
    imports: tuple[str, ...] = ()
    abstained: str = ""  # the reason, for steps that allow `Abstain: reason`; then `source` is empty
