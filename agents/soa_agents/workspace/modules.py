"""Which file a module's name means, and which files import which."""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from itertools import takewhile

from soa_agents.workspace.facts import Import, Survey
from soa_agents.workspace.snapshot import is_test_file


class Modules:
    """The modules of a workspace. Read-only once made; answers are remembered."""

    def __init__(self, paths: Collection[str], known: Survey) -> None:
        self._paths = paths
        self._known = known
        self._ending: defaultdict[str, list[str]] = defaultdict(list)  # by the last part of a module's name
        for path in paths:
            self._ending[_place(path).rpartition("/")[2]].append(path)
        self._importers: dict[str, set[str]] | None = None
        self._closures: dict[str, frozenset[str]] = {}
        self._files: dict[tuple[str, str], str | None] = {}

    def file(self, module: str, importer: str) -> str | None:
        """The file that `import module` means in the file `importer`; None for modules from elsewhere.

        It is the same for all files of a folder.
        """
        key = (module, _folder(importer))
        if key not in self._files:
            self._files[key] = self._file(module, importer)
        return self._files[key]

    def _file(self, module: str, importer: str) -> str | None:
        if not module.startswith("."):
            candidates = [*self._named(module)]
            if len(candidates) < 2:
                return candidates[0] if candidates else None
            return min(candidates, key=lambda path: (-_shared(path, importer), len(path), path))
        name = module.lstrip(".")
        folder = _folder(importer)
        for _ in range(len(module) - len(name) - 1):
            folder = _folder(folder)
        inner = name.replace(".", "/")
        return self._at(f"{folder}/{inner}" if folder and inner else folder or inner)

    def submodule(self, package: str, name: str) -> str | None:
        """The file of the module `name` in the package whose `__init__.py` is `package`."""
        return self._at(f"{package[: -len('__init__.py')]}{name}") if _is_package(package) else None

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
        folder = path
        while folder:
            folder = _folder(folder)
            conftest = posixpath.join(folder, "conftest.py")
            if conftest in self._paths and conftest != path:
                yield conftest

    def _named(self, module: str) -> Iterator[str]:
        """`src/pkg/mod.py` for `pkg.mod`, seen from every folder that could be on Python's path."""
        inner = module.replace(".", "/")
        for path in self._ending.get(inner.rpartition("/")[2], ()) if inner else ():
            above, found, behind = f"/{_place(path)}".rpartition(f"/{inner}")
            if found and not behind and (not above or f"{above[1:]}/__init__.py" not in self._paths):
                yield path

    def _at(self, place: str) -> str | None:
        """The package or module at a path without its ending."""
        for path in (f"{place}/__init__.py" if place else "__init__.py", f"{place}.py"):
            if path in self._paths:
                return path
        return None

    def _direct_importers(self) -> dict[str, set[str]]:
        if self._importers is None:
            self._importers = {}
            for path, imports in self._known.imports():
                for imported in self._imported(path, imports):
                    self._importers.setdefault(imported, set()).add(path)
        return self._importers

    def _imported(self, path: str, imports: Iterable[Import]) -> Iterator[str]:
        if is_test_file(path):
            yield from self.conftests(path)
        for each in set(imports):
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
        folder = _folder(found)
        while folder and (package := f"{folder}/__init__.py") in self._paths:
            yield package
            folder = _folder(folder)


def _joined(module: str, name: str) -> str:
    return f"{module}{name}" if module.endswith(".") else f"{module}.{name}"


def _place(path: str) -> str:
    """A package's folder, or a module's path without its ending."""
    return _folder(path) if _is_package(path) else posixpath.splitext(path)[0]


def _folder(path: str) -> str:
    """The folder that a path lies in; "" at the top."""
    return path.rpartition("/")[0]


def _is_package(path: str) -> bool:
    return path == "__init__.py" or path.endswith("/__init__.py")


def _shared(one: str, two: str) -> int:
    """How many leading folders two paths share."""
    same = takewhile(lambda pair: pair[0] == pair[1], zip(one.split("/"), two.split("/"), strict=False))
    return sum(1 for _ in same)
