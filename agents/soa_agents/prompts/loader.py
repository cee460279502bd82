"""From a template and a view to the messages of a model call.

A step's template has two blocks. `task` (role, rules, format, example) joins `system.md` in the system
message; it says the same for every function, so that servers can reuse its work. `material` is the user
message: the workspace first, the function last, then the two lines that name target and step.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Protocol

from jinja2 import Environment, PackageLoader, StrictUndefined, meta

from soa_agents.models.port import Message, Step

STEPS: tuple[Step, ...] = (
    *("skeleton", "code", "modify", "tests", "feedback", "stubs"),
    *("plan", "intent", "judge"),
)
_SHARED = ("system.md", "retry.md")
_FENCED_OR_BLANK = re.compile(
    r"^(?P<fence>`{3,}).*(?:\n.*)*?(?:\n(?P=fence)$|\Z) | \n(?:[^\S\n]*\n){2,}", re.MULTILINE | re.VERBOSE
)


class Named(Protocol):
    """What every view can say of itself; templates read more, and an attribute it lacks is an error."""

    @property
    def target(self) -> str:
        """The FunctionId as text."""

    @property
    def step(self) -> Step:
        """The step it was made for."""


def render(step: Step, view: Named) -> tuple[Message, ...]:
    """The system and the user message of `step`.

    Raises `jinja2.UndefinedError` when the template names something that the view lacks.
    """
    template = _environment().get_template(f"{step}.md")
    context = template.new_context({"view": view})
    task, material = ("".join(template.blocks[block](context)) for block in ("task", "material"))
    system = _environment().get_template("system.md").render()
    return (
        Message("system", _tidy(f"{system}\n\n{task}")),
        Message("user", f"{_tidy(material)}\n\n{_last_lines(view)}"),
    )


def render_retry(view: Named, complaint: str) -> Message:
    """The user message that hands a reply back; `complaint` says what was wrong with it."""
    text = _environment().get_template("retry.md").render(complaint=quoted(complaint))
    return Message("user", f"{_tidy(text)}\n\n{_last_lines(view)}")


def digests() -> dict[str, str]:
    """The sha256 of each step's template together with everything it includes."""
    return dict(_digests())


@cache  # to parse them all takes a tenth of a second, and every job wants to know
def _digests() -> Mapping[str, str]:
    return {step: hashlib.sha256("\0".join(_sources(step)).encode()).hexdigest() for step in STEPS}


def fenced(text: str, language: str = "") -> str:
    """`text` as a Markdown code block whose fence is longer than any run of backticks inside."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{quoted(text).strip(chr(10))}\n{fence}"


def quoted(text: str) -> str:
    """`text` with `\\n` line ends, and with lines indented that could be taken for our own last two."""
    plain = re.sub(r"\r\n?", "\n", text)
    return re.sub(r"^(?=(?:Target|Step):)", "  ", plain, flags=re.MULTILINE)


def oneline(text: str) -> str:
    """`text` on one line, so that a strange file name cannot begin lines of its own."""
    return " ".join(text.split())


def _last_lines(view: Named) -> str:
    return f"Target: {oneline(view.target)}\nStep: {view.step}"


@lru_cache(maxsize=32)  # the system message is the same for many agents in a row
def _tidy(text: str) -> str:
    """`text` without trailing blanks at its ends and without runs of blank lines outside of code blocks."""
    return _FENCED_OR_BLANK.sub(lambda found: found[0] if found["fence"] else "\n\n", text.strip("\n"))


@cache
def _environment() -> Environment:
    environment = Environment(  # noqa: S701  # Markdown for a model, never HTML: escaping would corrupt code
        loader=PackageLoader("soa_agents", "prompts"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,  # the templates belong to the package
    )
    environment.filters.update(fenced=fenced, oneline=oneline)
    return environment


def _sources(step: Step) -> list[str]:
    """The texts of the step's template, of all it includes, and of what every step shares."""
    environment, loader = _environment(), _environment().loader
    assert loader is not None  # noqa: S101  # set three lines above; for the type checker
    pending, seen = [f"{step}.md", *_SHARED], dict[str, str]()
    while pending:
        name = pending.pop()
        if name not in seen:
            seen[name] = loader.get_source(environment, name)[0]
            pending += [n for n in meta.find_referenced_templates(environment.parse(seen[name])) if n]
    return [seen[name] for name in sorted(seen)]
