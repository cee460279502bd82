"""The options that commands share, and what they make of the workspace and its settings."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click
from soa_agents.errors import UsageError
from soa_agents.settings import Settings

from soa_server import settings as layers
from soa_server.cli import exits, place

Command = TypeVar("Command", bound=Callable[..., Any])

SETTING_OF = {  # option -> the setting it lays on top of all others
    "model": "model.name",
    "protocol": "protocol",
    "calls": "limits.calls",
    "cost": "limits.costUsd",
    "sandbox": "tests.sandbox",
}


@dataclass(frozen=True, slots=True)
class Workspace:
    """Where a command runs: the workspace folder, the folder it was called in, the settings that hold."""

    root: Path
    here: Path
    settings: Settings
    sandbox_consent: bool
    ray: str = ""  # the address of a cluster that runs the tests

    @property
    def key(self) -> str | None:
        """The model's key from the environment, or None."""
        return os.environ.get(self.settings.model.api_key_env) or None


@dataclass(frozen=True, slots=True)
class Output:
    """What happens to a job's result."""

    apply: bool
    untested: bool
    branch: str | None
    json: bool
    report: Path | None = None


REPORT = "Write what came of each function to FILE: .html with charts, or .md."


def result_options(command: Command) -> Command:
    """The options that say what happens to a job's result, as `**options` of the function."""
    for option in reversed(
        (
            click.option("--apply", is_flag=True, help="Write the result into the files when it is proven."),
            click.option("--untested", is_flag=True, help="With --apply: write it though no test runs it."),
            click.option("--branch", metavar="NAME", help="Commit the result to a new branch NAME instead."),
            click.option("--json", is_flag=True, help="Print one JSON object on stdout and nothing else."),
            click.option("--report", metavar="FILE", help=REPORT),
        )
    ):
        command = option(command)
    return command


ray_option = click.option(
    "--ray", metavar="ADDRESS", help="Run tests on the nodes of a Ray cluster: its head's HOST:PORT, or auto."
)


def job_options(command: Command) -> Command:
    """The options of every command that starts a job, those of its result included."""
    for option in reversed(
        (
            click.option("--model", metavar="NAME", help="The model to ask (setting model.name)."),
            click.option(
                "--protocol",
                metavar="NAME",
                help="How agents coordinate (setting protocol).",
            ),
            click.option("--calls", type=int, metavar="N", help="Stop after N model calls (60)."),
            click.option("--cost", type=float, metavar="USD", help="Stop at this cost in US dollars."),
            click.option(
                "--sandbox",
                type=click.Choice(["strict", "scrubbed"]),
                help="scrubbed: run tests without a sandbox, only with an emptied environment.",
            ),
            ray_option,
        )
    ):
        command = option(command)
    return result_options(command)


def workspace(options: Mapping[str, Any] | None = None) -> Workspace:
    """The workspace of the current folder with `options` on top of its settings.

    Says on stderr which settings elsewhere were not taken; raises `UsageError` for a wrong option.
    """
    try:
        here = Path.cwd()
    except FileNotFoundError:
        raise UsageError("The current folder does not exist any more. Change to another one.") from None
    root = place.workspace_folder(here)
    given = {name: value for name, value in (options or {}).items() if value is not None}
    flags = {SETTING_OF[name]: value for name, value in given.items() if name in SETTING_OF}
    if wrong := layers.resolve(layers.Layers(flags=flags)).problems:
        option = next(name for name, key in SETTING_OF.items() if key == wrong[0].key)
        expected = wrong[0].sentence.partition(" must be ")[2].removesuffix("; it was ignored.")
        raise UsageError(f"--{option} must be {expected}.")
    resolved = layers.resolve(
        layers.Layers(flags=flags, environ=os.environ, user_file=layers.user_file(), folder=root)
    )
    for problem in resolved.problems:
        exits.say(problem.sentence)
    return Workspace(root, here, resolved.settings, resolved.sandbox_consent, given.get("ray", ""))


def output(options: Mapping[str, Any]) -> Output:
    """What is to happen to the result. Raises `UsageError` for options that contradict each other."""
    if options["branch"] is not None and options["apply"]:
        raise UsageError("--apply and --branch exclude each other: one writes the files, the other a branch.")
    if options["untested"] and not (options["apply"] or options["branch"]):
        raise UsageError("--untested says what to write, so it needs --apply or --branch NAME.")
    report = report_file(options["report"])
    return Output(options["apply"], options["untested"], options["branch"], options["json"], report)


def report_file(name: str | None) -> Path | None:
    """The file of `--report`. Raises `UsageError` for one that is neither a page nor Markdown."""
    if name is None:
        return None
    path = Path.cwd() / name
    if path.suffix.lower() not in (".md", ".html", ".htm") or not path.parent.is_dir():
        raise UsageError(f"--report {name}: name a .html or .md file in a folder that is there.")
    return path
