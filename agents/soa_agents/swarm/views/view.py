"""Views: everything a step may see, bounded by a token budget that does not grow with the workspace."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace

from soa_agents.models.port import Message, Prompt, Step
from soa_agents.prompts import loader
from soa_agents.swarm.actions import Ask
from soa_agents.swarm.state import State
from soa_agents.swarm.views import conventions
from soa_agents.swarm.views.elsewhere import Graph
from soa_agents.swarm.views.exhibits import Reading
from soa_agents.swarm.views.fitting import fit, tokens
from soa_agents.swarm.views.lookup import module_name
from soa_agents.swarm.views.subject import Subject
from soa_agents.verify import brief
from soa_agents.verify.report import Report
from soa_agents.workspace.ids import FunctionId

_LEAST = 1_500  # tokens a view may always have, however small the model's context is said to be
_REPLY = 8_000  # tokens left for the reply, at most


@dataclass(frozen=True, slots=True)
class View:
    """Everything a step may see. The texts are sections; an empty one is not shown.

    `explain` lists the sections; the remaining fields are names and facts that the templates put into words.
    """

    target: str  # FunctionId
    step: Step
    path: str
    name: str
    module: str = ""  # what it is imported by
    python: str = ""  # the versions the code must work on
    place: str = ""  # where the function stands, in words
    style: str = ""
    class_name: str = ""  # of the class whose method it is
    outer: str = ""  # the function that it is nested in
    class_describes: bool = False  # the class has a docstring and the method has none
    in_class: bool = False
    helpers_as_stubs: bool = False  # parts may be left to other authors
    has_examples: bool = False
    in_team: bool = False  # one of several who write the function, each in a role of her own
    chooses_role: bool = False  # the role is hers to choose
    notes: str = ""
    header: str = ""
    types: str = ""
    siblings: str = ""
    useful: str = ""
    owner: str = ""
    imported: str = ""
    callers: str = ""
    mother: str = ""
    mother_before: str = ""
    tests_apart: str = ""
    tests: str = ""
    advice: str = ""
    spec: str = ""
    class_says: str = ""
    helpers: str = ""
    old: str = ""
    report: str = ""
    mother_feedback: str = ""
    feedback: str = ""
    note: str = ""  # what the protocol tells the agent
    import_line: str = ""


_SECTIONS = tuple(f.name for f in fields(View)[16:])


@dataclass(frozen=True, slots=True)
class Row:
    """A line of `soa explain`."""

    section: str
    tokens: int
    text: str


def explain(view: View) -> tuple[Row, ...]:
    """The sections of a view that say something, with about how many tokens each takes."""
    shown = ((name, getattr(view, name)) for name in _SECTIONS)
    return tuple(Row(name, tokens(text), text) for name, text in shown if text)


@dataclass(frozen=True, slots=True)
class Viewer:
    """Makes the views of one job. Built once from plain values; pure from then on.

    `texts` are the workspace's Python files as the job found them (no ignored files, no `.env`), by path as
    in FunctionId. `for_model` puts a report into at most so many characters for a function's author.
    `tests_for` gives the node ids of tests that reach a function. `documents` are texts of files in the
    folder's root by name (`AGENTS.md`, `CONTRIBUTING.md`, `pyproject.toml`). `python` is the version of the
    workspace's interpreter, `known` the functions that may be suggested, tests left out, by their words.
    `reading` remembers the last reports as they were read: it makes views quicker, never others.
    """

    texts: Mapping[str, str]
    graph: Graph
    for_model: Callable[[Report, FunctionId, int], str] = brief.for_model
    context_tokens: int = 16_000
    tests_for: Callable[[FunctionId], Iterable[str]] = lambda function: ()
    documents: Mapping[str, str] = field(default_factory=dict)
    python: str = ""
    known: Mapping[str, Sequence[FunctionId]] = field(default_factory=dict)
    reading: Reading = field(default_factory=Reading, compare=False)

    def prompt(self, state: State, ask: Ask) -> Prompt:
        """The conversation for a model call, with the replies of this key that broke their format.

        The state is read as it is now; `ask.agent` must be among its nodes.
        """
        progress = state.keys.get(ask.key)
        attempts = progress.attempts[-2:] if progress else ()
        room = self._budget(state) // 6
        said = [(_shortened(a.reply, room * 3), a.complaint) for a in attempts]
        view, messages = self._rendered(state, ask, sum(tokens(r) + tokens(c) for r, c in said))
        for reply, complaint in said:
            messages += (Message("assistant", reply), loader.render_retry(view, complaint))
        return Prompt(messages, ask.target, ask.step, ask.key)

    def view(self, state: State, ask: Ask) -> View:
        """What `ask` may see in this state."""
        return self._rendered(state, ask)[0]

    def _rendered(self, state: State, ask: Ask, taken: int = 0) -> tuple[View, tuple[Message, ...]]:
        """The view and its messages; `taken` tokens of the prompt are needed for something else."""
        subject = Subject(self, state, ask)
        bare, sections = _bare(subject, self), subject.sections()
        room = self._budget(state) - taken
        view = _with_texts(bare, {section.name: section.text for section in sections})
        messages = loader.render(ask.step, view)
        if _size(messages) > room:
            fixed = _size(loader.render(ask.step, bare))
            view = _with_texts(bare, fit(sections, max(_LEAST, room - fixed)))
            messages = loader.render(ask.step, view)
        return view, messages

    def _budget(self, state: State) -> int:
        """Tokens of a prompt: the model's context less the room for its reply."""
        context = min(self.context_tokens, state.room or self.context_tokens)
        return context - min(context // 4, _REPLY)


def _bare(subject: Subject, viewer: Viewer) -> View:
    """The view without its sections."""
    path = subject.function.path
    return View(
        target=subject.ask.target,
        step=subject.ask.step,
        path=path,
        name=subject.function.qualname,
        module=module_name(path, subject.texts),
        python=conventions.required_python(viewer.documents) or viewer.python,
        place=subject.place(),
        style=conventions.style(subject.file, subject.beside()),
        class_name=subject.class_name(),
        outer=subject.outer(),
        class_describes=subject.class_describes(),
        in_class=subject.file.class_named(subject.function.qualname) is not None,
        helpers_as_stubs=subject.node.depth < subject.state.job.limits.depth,
        has_examples=">>>" in subject.node.spec,
        in_team=subject.node.is_member,
        chooses_role=subject.node.is_member and not subject.ask.role,
    )


def _with_texts(bare: View, texts: Mapping[str, str]) -> View:
    return replace(bare, **texts)  # type: ignore[arg-type]  # the keys are names of text sections


def _size(messages: Iterable[Message]) -> int:
    return sum(tokens(message.content) for message in messages)


def _shortened(reply: str, limit: int) -> str:
    return reply if len(reply) <= limit else f"{reply[:limit]}\n… (the rest is left out here)"
