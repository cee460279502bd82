"""One ask in one state: what its view is made of."""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING

from soa_agents.swarm import candidate
from soa_agents.swarm.actions import Ask
from soa_agents.swarm.code import Written
from soa_agents.swarm.state import Node, State
from soa_agents.swarm.views import around, conventions, elsewhere, exhibits, material
from soa_agents.swarm.views.bindings import words
from soa_agents.swarm.views.fitting import Section, of_pieces, of_text
from soa_agents.swarm.views.lookup import module_name
from soa_agents.swarm.views.material import Focus, Piece
from soa_agents.swarm.views.skim import Skim, head, skim
from soa_agents.swarm.views.support import support
from soa_agents.verify.report import Report
from soa_agents.workspace.functions import functions
from soa_agents.workspace.ids import FunctionId
from soa_agents.workspace.outline import docstring_place
from soa_agents.workspace.snapshot import is_test_file

if TYPE_CHECKING:
    from soa_agents.swarm.views.view import Viewer


class Subject:
    """One ask in one state: the values that several sections need, and the sections."""

    def __init__(self, viewer: Viewer, state: State, ask: Ask) -> None:
        self.viewer, self.state, self.ask = viewer, state, ask
        self.node: Node = state.nodes[ask.agent]
        self.mother: Node | None = state.nodes.get(self.node.parent or "")
        self.function = self.node.function
        self.texts: Mapping[str, str] = ChainMap(dict(state.texts), viewer.texts)  # type: ignore[arg-type]  # only read
        self.file = skim(self.function.path, self.texts.get(self.function.path, ""))
        self.report = state.report(ask.about) if ask.about else None
        self.told = self._told()
        self.tests = self._tests()
        self.focus = self._focus()

    def sections(self) -> tuple[Section, ...]:
        """All sections, each with its levels."""
        focus, texts, viewer = self.focus, self.texts, self.viewer
        called = frozenset(viewer.graph.callees(self.function))
        old = self._old()
        mother = frozenset([self.mother.function.qualname]) if self.mother else frozenset[str]()
        named = [*sorted(words(self._annotations())), *around.related(focus)]
        typed = frozenset(n for n in named if self.file.class_named(n))
        callers = elsewhere.callers(focus, texts, viewer.graph, around.shown_whole(focus))
        calling = frozenset(c.qualname for c in callers if c.path == self.function.path)
        siblings = material.siblings(focus, mother | typed | calling, self.ask.step == "stubs")
        return (
            of_text("notes", conventions.notes(viewer.documents), 1000),
            of_pieces("header", material.header(focus), 5000),
            of_pieces("siblings", siblings, 4000),
            of_pieces("owner", around.surroundings(focus), 9000),
            of_pieces("types", material.types(focus, texts, named), 3000),
            of_pieces("useful", elsewhere.useful(focus, texts, viewer.known, called), 1500),
            of_pieces("imported", elsewhere.imported(focus, texts, viewer.graph), 3000),
            of_pieces("callers", tuple(callers.values()), 2400),
            *self._of_family(),
            *self._of_tests(),
            Section("spec", (self._spec(old),)),
            of_text("class_says", around.said_by_class(focus) if self.class_describes() else "", 1500),
            Section("old", (old,)),
            of_text("note", self.ask.note, 8000, 3000),
            Section("import_line", (self._import_line() if self.ask.step == "tests" else "",)),
        )

    def _of_tests(self) -> tuple[Section, ...]:
        own, mothers = self._observations()
        told, for_model = self.told, self.viewer.for_model
        function = self._called(self.node)
        said = [for_model(told, function, n) if told else "" for n in (6000, 3000, 1200)]
        return (
            Section("tests", exhibits.levels(self.tests)),
            of_pieces("tests_apart", support(self.tests.quoted, self.texts), 4000),
            Section("report", (*dict.fromkeys(said), "")),
            of_text("feedback", own, 4000, 1500),
            of_text("mother_feedback", mothers, 4000, 1500),
            of_text("advice", self._advice(), 4000),
        )

    def _of_family(self) -> tuple[Section, ...]:
        """What the agent's Mother and her other helpers say, and what the agent's own helpers are."""
        below = [n for n in self.state.family(self.node.agent) if n.agent != self.node.agent]
        helpers = [Piece(_code(n), place) for place, n in enumerate(below)]
        if self.ask.step not in ("modify", "feedback"):
            helpers = []
        mother, before = "", ""
        if self.mother is not None and self.mother.written is not None:
            mother = _whole(self.mother.written, without=self.function.qualname)
            earlier = self.mother.before
            changed = earlier is not None and earlier.source != self.mother.written.source
            shows = self.ask.step in ("modify", "feedback", "tests")
            before = earlier.source if earlier and changed and shows else ""
        return (
            of_pieces("helpers", helpers, 12_000),
            of_text("mother", mother, 8000, 4000),
            of_text("mother_before", before, 4000),
        )

    def _focus(self) -> Focus:
        old = self._old()
        known = [self.node.spec, old, *(t.source for t in self.tests.quoted[:40])]
        known += [self.mother.written.source] if self.mother and self.mother.written else []
        return Focus(
            self.function,
            self.file,
            frozenset[str]().union(*map(words, (*known, self.ask.target))),
            frozenset[str]().union(*map(material.called_in, known)),
            old,
            self.state.job.unwritten,
            self._along(),
        )

    def _along(self) -> frozenset[FunctionId]:
        """What ran in the tests that ran the function, the latest run's where there is one."""
        results = (self.report or self.state.baseline).tests
        function = self._called(self.node)
        return frozenset(each for r in results if function in r.ran for each in r.ran)

    def beside(self) -> Iterator[Skim]:
        """A few files of the same folder."""
        folder = self.function.path.rpartition("/")[0]
        found = (p for p in sorted(self.texts) if p.rpartition("/")[0] == folder and not is_test_file(p))
        return (skim(path, self.texts[path]) for path in islice(found, 12))

    def _tests(self) -> exhibits.Exhibits:
        if self.ask.step == "stubs":
            return exhibits.Exhibits()
        root = next((t for t in self.state.job.targets if t.function == str(self.function)), None)
        listed = [*(root.tests if root else ()), *self.viewer.tests_for(self.function)]
        listed = [] if self.node.new else listed  # a name of the workspace is not this helper's
        focus = Focus(self.function, self.file)
        results = self.viewer.reading.results(self.state.baseline, *([self.report] if self.report else []))
        return exhibits.tests_of(focus, self.texts, listed, results, self.told)

    def _told(self) -> Report | None:
        """The failing report: of the run that the ask is about, or for a first rewrite the baseline's."""
        target = next((t for t in self.state.job.targets if t.function == self.ask.target), None)
        report = self.report
        if report is None and target is not None and target.goal == "regenerate":
            report = self.state.baseline
        if report is None:
            return None
        own = frozenset([self._called(self.node)])
        family = frozenset(map(self._called, self.state.family(self.node.agent)))
        for concerned in (own, family, self._root_functions()):
            kept = exhibits.relevant(report, self.state.baseline, concerned)
            if kept.problem or not all(r.passed for r in kept.results):
                return kept
        return None

    def _root_functions(self) -> frozenset[FunctionId]:
        node = self.node
        while node.parent is not None and node.parent in self.state.nodes:
            node = self.state.nodes[node.parent]
        return frozenset(map(self._called, self.state.family(node.agent)))

    def _called(self, node: Node) -> FunctionId:
        """The name that the report has for an agent's function."""
        return candidate.called(self.state, self.ask.about, node) if self.report else node.function

    def _spec(self, old: str) -> str:
        """Signature and docstring; nothing where the code that is shown says the same."""
        if self.ask.step == "stubs":
            place = docstring_place(self.function.path, self.file.text, self.function.qualname)
            return place.text if place else ""
        latest = self.node.written or self.node.before
        now = latest.source if latest else self.node.spec
        if old and _with_dots(head(now)) == _with_dots(head(self.node.spec)):
            return ""
        overloads = self.file.function(self.function.qualname)
        declared = [self.file.text[s.start : s.end] for s in overloads.overloads] if overloads else []
        return "\n".join([*map(_flush, declared), _with_dots(head(self.node.spec))])

    def _old(self) -> str:
        """The code as it stands: what the agent wrote, or the workspace has if that is more than a stub.

        Authors of tests go by the specification alone.
        """
        if self.ask.step == "tests":
            return ""
        latest = self.node.written or self.node.before
        if latest is not None:
            return _whole(latest, stubs=False)
        spec = self.node.spec.strip("\n")
        return spec if spec != head(spec) else ""

    def _annotations(self) -> str:
        return head(self.node.spec).partition('"""')[0]

    def _advice(self) -> str:
        """The advisory tests of this agent, the latest."""
        asked = [
            p.text
            for p in self.state.keys.values()
            if isinstance(p.action, Ask) and p.action.step == "tests" and p.action.agent == self.node.agent
        ]
        return asked[-1] if asked and self.ask.step == "modify" else ""

    def _observations(self) -> tuple[str, str]:
        """What the agent said of its own code, and what its Mother said before that."""
        said = {"own": "", "mother": ""}
        key = self.ask.observation
        while (progress := self.state.finished(key)) is not None and isinstance(progress.action, Ask):
            by = "own" if progress.action.agent == self.node.agent else "mother"
            said[by] = said[by] or progress.text
            key = progress.action.observation
        return said["own"], said["mother"]

    def _import_line(self) -> str:
        first = self.function.qualname.partition(".")[0]
        module = module_name(self.function.path, self.texts)
        return f"from {module} import {first}"

    def class_name(self) -> str:
        """The name of the class whose method it is, or nothing."""
        owner = self.focus.owner
        return owner.rpartition(".")[2] if self.file.class_named(owner) else ""

    def outer(self) -> str:
        """The function that it is nested in, or nothing."""
        return self.focus.owner if not self.class_name() else ""

    def class_describes(self) -> bool:
        """Whether the function is a method without a docstring of a class that has one."""
        own = functions("", self.node.spec)
        documented = bool(own) and own[0].docstring is not None
        return bool(self.class_name()) and not documented and around.has_docstring(self.focus)

    def place(self) -> str:
        """Where the function stands, in words."""
        owner, qualname = self.focus.owner, self.function.qualname
        if self.ask.step == "stubs":
            kind = "class" if self.file.class_named(qualname) else "function"
            return "the module" if qualname == FunctionId.MODULE else f"the {kind} `{qualname}`"
        if self.file.class_named(owner):
            return f"a method of the class `{owner}`"
        if owner:
            return f"a function inside `{owner}`"
        return "a new function of the module" if self.node.new else ""


def _code(node: Node) -> str:
    """A helper as it is now: its code, or the stub it is to be written from."""
    if node.written is None:
        return f"# not written yet\n{node.spec}"
    return _whole(node.written, stubs=False)


def _whole(written: Written, stubs: bool = True, without: str = "") -> str:
    """A reply's code again: imports, module-level statements, the function, its helpers."""
    helpers = [h.source for h in written.helpers if (stubs or not h.is_stub) and h.qualname != without]
    parts = ["\n".join(written.imports), *written.statements, written.source, *helpers]
    return "\n\n\n".join(p.strip("\n") for p in parts if p.strip())


def _flush(source: str) -> str:
    return re.sub(r"\n[ \t]+(?=@|def|async)", "\n", re.sub(r"\r\n?", "\n", source))


def _with_dots(stub: str) -> str:
    """A stub with `...` for a body, however it says that it is one; a message of its own stays."""
    return re.sub(r"\n([ \t]+)(?:pass|raise NotImplementedError(?:\(\))?)\Z", r"\n\1...", stub)
