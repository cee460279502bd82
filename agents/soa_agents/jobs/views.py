"""The Viewer of a job: the workspace's texts, graph and conventions, read as they are now."""

from __future__ import annotations

from pathlib import Path

from pathspec import GitIgnoreSpec

from soa_agents.jobs.workplace import Workplace
from soa_agents.swarm.views.conventions import DOCUMENTS
from soa_agents.swarm.views.elsewhere import by_word
from soa_agents.swarm.views.view import Viewer
from soa_agents.verify.brief import for_model
from soa_agents.workspace import repository
from soa_agents.workspace.ids import FunctionId
from soa_agents.workspace.reaching import tests_reaching
from soa_agents.workspace.snapshot import read_text

_LONGEST = 20_000  # characters of a document that are looked at


def viewer(place: Workplace, path: str, python: str) -> Viewer:
    """The views of a job in the folder that `path` lies in; `python` is its interpreter's version."""
    root = place.folder_of(path).root
    known = (
        FunctionId(file.path, fact.qualname)
        for file in place.facts.values()
        if not file.is_test
        for fact in file.functions
    )
    return Viewer(
        texts=place.texts,
        graph=place.graph,
        for_model=for_model,
        context_tokens=place.start.settings.model.context_tokens,
        tests_for=lambda function: tests_reaching(place.graph, function).direct,
        documents=_documents(root),
        python=python,
        known=by_word(known),
    )


def _documents(root: Path) -> dict[str, str]:
    """The texts of the project's own documents: no link to somewhere else, nothing that is ignored."""
    there = [name for name in DOCUMENTS if (root / name).is_file() and not (root / name).is_symlink()]
    listed = repository.listed(root) if there else None
    rules = (read_text(root / ".gitignore") or "").splitlines()
    ignored = GitIgnoreSpec.from_lines(rules)
    own = [name for name in there if (name in listed if listed else not ignored.match_file(name))]
    return {name: (root / name).read_text("utf-8", errors="replace")[:_LONGEST] for name in own}
