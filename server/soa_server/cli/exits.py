"""How a command ends: one table of exit codes, one sentence on stderr, never a traceback."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

import click
from soa_agents.errors import ModelError, Refused, SoaError, UsageError
from soa_agents.settings import state_folder


class Exit(IntEnum):
    """What the shell is told."""

    OK = 0  # done: proven, or nothing to prove and so said
    FAILED = 1  # red, flagged, refused, or a limit was reached
    USAGE = 2  # a malformed id, option or argument
    NO_MODEL = 3  # no model named, not reachable, key refused
    CANCELLED = 130  # Ctrl-C


BY_ERROR: tuple[tuple[type[BaseException], Exit], ...] = (
    (UsageError, Exit.USAGE),
    (ModelError, Exit.NO_MODEL),
    (Refused, Exit.FAILED),
    (SoaError, Exit.FAILED),
    (KeyboardInterrupt, Exit.CANCELLED),
)


def of(error: BaseException) -> Exit:
    """The exit code of an exception."""
    return next((code for kind, code in BY_ERROR if isinstance(error, kind)), Exit.FAILED)


@contextmanager
def as_sentences() -> Iterator[None]:
    """Turn what the block raises into a sentence on stderr and `SystemExit`."""
    try:
        yield
    except (click.exceptions.Exit, click.ClickException, click.Abort, BrokenPipeError):
        raise
    except SoaError as error:
        say(str(error))
        sys.exit(of(error))
    except KeyboardInterrupt:
        say("Stopped; nothing was written.")
        sys.exit(Exit.CANCELLED)
    except Exception as error:
        say(_own_fault(error))
        sys.exit(Exit.FAILED)


def say(sentence: str) -> None:
    """One sentence for the person, on stderr."""
    click.echo(f"soa: {sentence}", err=True)


def _own_fault(error: Exception) -> str:
    """A sentence for an error of SoA's own; the traceback goes to a file that can be reported."""
    kind = f"{type(error).__name__}: {error}".splitlines()[0]
    log = state_folder() / "last-error.txt"
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(traceback.format_exc(), encoding="utf-8")
    except OSError:
        return f"SoA stopped on an error of its own ({kind}). Please report it."
    return f"SoA stopped on an error of its own ({kind}). Please report it with {log}."
