"""A job's view of the workspace: one snapshot, its facts, and who runs its tests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from soa_agents.errors import TargetMissing, UsageError
from soa_agents.swarm.job import StartJob
from soa_agents.workspace.callgraph import CallGraph
from soa_agents.workspace.facts import FileFacts
from soa_agents.workspace.functions import Function, functions
from soa_agents.workspace.ids import FunctionId
from soa_agents.workspace.index import scan
from soa_agents.workspace.snapshot import Folder, Snapshot
from soa_agents.workspace.store import cache_file


class Texts(Mapping[str, str]):
    """The workspace's Python files by path, read when they are asked for and the same ever after."""

    def __init__(self, snapshot: Snapshot, paths: tuple[str, ...]) -> None:
        self._snapshot = snapshot
        self._paths = dict.fromkeys(paths)
        self._read: dict[str, str] = {}

    def __getitem__(self, path: str) -> str:
        if path not in self._read:
            text = self._snapshot.text(path) if path in self._paths else None
            if text is None:
                raise KeyError(path)
            self._read[path] = text
        return self._read[path]

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)


@dataclass(frozen=True, slots=True)
class Workplace:
    """The workspace as a job sees it, the same from its start to its end."""

    start: StartJob
    snapshot: Snapshot
    facts: Mapping[str, FileFacts]
    graph: CallGraph
    texts: Texts

    def text(self, path: str) -> str:
        """A file's text; raises `TargetMissing` when it cannot be read, or is none of the workspace's own."""
        text = self.texts.get(path)
        if text is None and self.snapshot.text(path) is not None:
            raise TargetMissing(
                f"{path} is not among the files that SoA works on: git or soa.index.exclude leaves it out, "
                "or it belongs to another repository. Open its own folder, or take it off those lists."
            )
        if text is None:
            raise TargetMissing(
                f"{path} cannot be read as Python source. Check that it exists and is a text file."
            )
        return text

    def function(self, function: FunctionId) -> Function:
        """A function of the workspace; raises `TargetMissing` when there is none of that name."""
        found = next(
            (f for f in functions(function.path, self.text(function.path)) if f.id == function), None
        )
        if found is None:
            raise TargetMissing(
                f"{function.path} has no function {function.qualname}. Was it renamed or deleted?"
            )
        return found

    @property
    def test_map(self) -> Path:
        """Where it is kept which tests ran which functions."""
        return cache_file(self.snapshot.folders, "tests")

    def saved_since(self, path: str, moment: float) -> bool:
        """Whether a file was written after that moment, in seconds since the epoch."""
        try:
            return self.snapshot.disk(path).stat().st_mtime > moment
        except OSError:
            return True

    def folder_of(self, path: str) -> Folder:
        """The workspace folder that a path lies in."""
        folder = self.snapshot.folder(path)
        if folder is None:
            raise UsageError(f"{path} is in none of the workspace's folders.")
        return folder


def open_workplace(start: StartJob) -> Workplace:
    """Read the workspace; nothing of it is executed. Raises `UsageError` when there is no folder."""
    if not start.folders:
        raise UsageError("There is no workspace folder. Open the project's folder and try again.")
    folders = tuple(Folder(f.name, Path(f.root)) for f in start.folders)
    snapshot = Snapshot(folders, dict(start.buffers), start.settings.index_exclude)
    facts = scan(snapshot, cache_file(folders))
    return Workplace(start, snapshot, facts, CallGraph(facts), Texts(snapshot, tuple(facts)))
