"""The Viewer of a job: the workspace's texts, graph and conventions, read as they are now."""

from __future__ import annotations

from soa_agents.jobs.workplace import Workplace
from soa_agents.swarm.views.view import Viewer
from soa_agents.verify.brief import for_model
from soa_agents.workspace.ids import FunctionId
from soa_agents.workspace.reaching import tests_reaching

_DOCUMENTS = ("AGENTS.md", "CONTRIBUTING.md", "pyproject.toml")


def viewer(place: Workplace, path: str, python: str) -> Viewer:
    """The views of a job in the folder that `path` lies in; `python` is its interpreter's version."""
    root = place.folder_of(path).root
    documents = {}
    for name in _DOCUMENTS:
        if (root / name).is_file():
            documents[name] = (root / name).read_text("utf-8", errors="replace")[:20_000]
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
        documents=documents,
        python=python,
        known=tuple(known),
    )
