"""Where in the workspace a name is defined: by the spelling of imports, over a few files. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping

from soa_agents.swarm.views.skim import Skim, skim


def find(file: Skim, texts: Mapping[str, str], name: str, hops: int = 3) -> tuple[Skim, str] | None:
    """The file that defines the function, class or constant a name means in `file`, and its name there."""
    if file.function(name) or file.class_named(name) or file.constant(name):
        return file, name
    imported = (i for b in file.bindings for i in b.imports if i.name == name and i.attribute)
    for each in imported if hops else ():
        path = find_module(file.path, each.module, texts)
        found = find(skim(path, texts[path]), texts, each.attribute, hops - 1) if path else None
        if found:
            return found
    return None


def find_class(file: Skim, texts: Mapping[str, str], name: str) -> tuple[Skim, str] | None:
    """The file that defines the class a name means in `file`, and the class's qualified name there."""
    found = find(file, texts, name)
    return found if found and found[0].class_named(found[1]) else None


def find_module(path: str, module: str, texts: Mapping[str, str]) -> str | None:
    """The file that `module`, as spelled in an import of the file `path`, is in this workspace."""
    dots = len(module) - len(module.lstrip("."))
    tail = module[dots:].replace(".", "/")
    folder = posixpath.dirname(path)
    bases = [posixpath.normpath(posixpath.join(folder, *[".."] * (dots - 1)))] if dots else _above(folder)
    for base in bases:
        stem = posixpath.normpath(posixpath.join(base, tail))
        for candidate in (f"{stem}.py", f"{stem}/__init__.py"):
            if candidate in texts:
                return candidate
    return None


def module_name(path: str, texts: Mapping[str, str]) -> str:
    """The name a file is imported by: its packages are the folders above it that have an `__init__.py`."""
    folder, _, file = path.rpartition("/")
    parts = [] if file == "__init__.py" else [file.removesuffix(".py")]
    while folder and f"{folder}/__init__.py" in texts:
        parts.insert(0, folder.rpartition("/")[2])
        folder = folder.rpartition("/")[0]
    return ".".join(parts)


def _above(folder: str) -> list[str]:
    """The folder and every one above it, nearest first."""
    parts = folder.split("/") if folder else []
    return ["/".join(parts[:n]) for n in range(len(parts), -1, -1)]
