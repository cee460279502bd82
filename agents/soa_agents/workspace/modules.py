"""Which file a module's name means, and which files import which."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from soa_agents.workspace.facts import FileFacts, Import


class Modules:
    """The modules of a workspace. Read-only once made; answers are remembered."""

    def __init__(self, facts: Mapping[str, FileFacts]) -> None:
        self._facts = facts
        self._named: defaultdict[str, list[str]] = defaultdict(list)
        for path in facts:
            for name in self._names(path):
                self._named[name].append(path)
        self._importers: dict[str, set[str]] | None = None
        self._closures: dict[str, frozenset[str]] = {}

    def file(self, module: str, importer: str) -> str | None:
        """The file that `import module` means in the file `importer`; None for modules from elsewhere."""
        if module.startswith("."):
            return self._relative(module, importer)
        candidates = self._named.get(module, [])
        return min(candidates, key=lambda path: (-_shared(path, importer), len(path), path), default=None)

    def submodule(self, package: str, name: str) -> str | None:
        """The file of the module `name` in the package whose `__init__.py` is `package`."""
        pure = PurePosixPath(package)
        return self._at(pure.parent / name) if pure.name == "__init__.py" else None

    def importers(self, path: str) -> frozenset[str]:
        """Every file that imports `path`, directly or through others. A conftest counts as imported."""
        if path not in self._closures:
            found: set[str] = set()
            waiting = [path]
            while waiting:
                more = self._direct_importers().get(waiting.pop(), set()) - found
                found |= more
                waiting += more
            self._closures[path] = frozenset(found - {path})
        return self._closures[path]

    def conftests(self, path: str) -> Iterator[str]:
        """The conftest files that pytest loads for a test file, nearest first."""
        for folder in PurePosixPath(path).parents:
            conftest = (folder / "conftest.py").as_posix()
            if conftest in self._facts and conftest != path:
                yield conftest

    def _names(self, path: str) -> Iterator[str]:
        """`pkg.mod` for `src/pkg/mod.py`, seen from every folder that could be on Python's path."""
        pure = PurePosixPath(path).with_suffix("")
        parts = pure.parts[:-1] if pure.name == "__init__" else pure.parts
        for first in range(len(parts)):
            if first == 0 or "/".join([*parts[:first], "__init__.py"]) not in self._facts:
                yield ".".join(parts[first:])

    def _relative(self, module: str, importer: str) -> str | None:
        name = module.lstrip(".")
        folder = PurePosixPath(importer).parent
        for _ in range(len(module) - len(name) - 1):
            folder = folder.parent
        return self._at(folder.joinpath(*name.split(".")) if name else folder)

    def _at(self, place: PurePosixPath) -> str | None:
        for path in (place / "__init__.py", place.with_name(f"{place.name}.py") if place.name else place):
            if path.as_posix() in self._facts:
                return path.as_posix()
        return None

    def _direct_importers(self) -> dict[str, set[str]]:
        if self._importers is None:
            self._importers = {}
            for path, facts in self._facts.items():
                for imported in self._imported(path, facts):
                    self._importers.setdefault(imported, set()).add(path)
        return self._importers

    def _imported(self, path: str, facts: FileFacts) -> Iterator[str]:
        if facts.is_test:
            yield from self.conftests(path)
        for each in set(facts.imports):
            yield from self._files_of(each, path)

    def _files_of(self, each: Import, importer: str) -> Iterator[str]:
        """The module, the packages it lies in (which Python imports first), and the submodule it may name."""
        found = self.file(each.module, importer)
        if each.attribute:
            below = self.file(_joined(each.module, each.attribute), importer)
            if below is not None:
                yield below
        if found is None:
            return
        yield found
        folder = PurePosixPath(found).parent
        while (package := (folder / "__init__.py").as_posix()) in self._facts and folder.name:
            yield package
            folder = folder.parent


def _joined(module: str, name: str) -> str:
    return f"{module}{name}" if module.endswith(".") else f"{module}.{name}"


def _shared(one: str, two: str) -> int:
    """How many leading folders two paths share."""
    count = 0
    for a, b in zip(PurePosixPath(one).parts, PurePosixPath(two).parts, strict=False):
        if a != b:
            break
        count += 1
    return count
