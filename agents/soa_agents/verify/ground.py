"""What a test server stands on: the modules it has loaded, the files whose change makes it out of date.

Copied beside the tests; Python 3.9 or newer, standard library only.
"""

# ruff: noqa: PTH100, PTH110, PTH118, PTH119, PTH120 - strings in, strings out

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_OWN = "/soa"  # where the jail has what is SoA's
_INI = ("pytest.ini", ".pytest.ini", "pytest.toml", ".pytest.toml", "pyproject.toml", "tox.ini", "setup.cfg")


def is_ini(path: str) -> bool:
    """Whether pytest may look there for its configuration, or for where it starts from."""
    return os.path.basename(path) in (*_INI, "setup.py")


def has_own_ini(root: str, named: str) -> bool:
    """Whether a file below `root` might make another folder the one that pytest starts from."""
    folder = os.path.dirname(named)
    while folder:
        if any(os.path.exists(os.path.join(root, folder, name)) for name in (*_INI, "setup.py")):
            return True
        folder = os.path.dirname(folder)
    return False


def own_module(root: str) -> str:
    """The name of a loaded module that lies in the workspace; empty when there is none."""
    for name, module in list(sys.modules.items()):
        file = str(getattr(module, "__file__", "") or "")
        if file.startswith(root + os.sep) and "-packages" not in file:
            return name
    return ""


def watch_opened(root: str) -> set[str]:
    """Gathers the files of the workspace that are opened while collecting."""
    opened: set[str] = set()
    inside = root + os.sep

    def look(event: str, arguments: Any) -> None:
        if event == "open" and isinstance(arguments[0], str) and arguments[0].startswith(inside):
            opened.add(arguments[0])

    sys.addaudithook(look)
    return opened


def rests_on(root: str, opened: set[str]) -> list[str]:
    """The files and folders whose change makes what was collected out of date."""
    files = {path for path in opened if "__pycache__" not in path}
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and (file.startswith(root + os.sep) or _is_source(file)):
            files.add(file)
    folders = {os.path.dirname(path) for path in files} | {os.path.abspath(path or ".") for path in sys.path}
    folders = {folder for folder in folders if not folder.startswith(_OWN)}
    return sorted(files | folders | set(_configuration(root, folders)))


def _is_source(file: str) -> bool:
    """Whether a module may be edited where it lies; a new version of what is installed is a new folder."""
    return "-packages" not in file and not file.startswith((sys.prefix, sys.base_prefix, _OWN, "<"))


def _configuration(root: str, folders: set[str]) -> Iterator[str]:
    """The files in which pytest looks for its configuration, or would if they were there."""
    while True:
        yield from (os.path.join(root, name) for name in _INI)
        if os.path.dirname(root) == root:
            break
        root = os.path.dirname(root)
    for folder in folders:  # a new file there changes the folder
        yield from (path for name in _INI if os.path.exists(path := os.path.join(folder, name)))


def loaded(plugins: Any) -> list[str]:
    """What can be imported ahead of any candidate: nothing of the workspace, of pytest's plugins, of ours."""
    import importlib.metadata as metadata

    kept = {"pytest", "_pytest", "pluggy", "iniconfig"}
    never = {"__main__", "__mp_main__", "sitecustomize", "usercustomize"}
    for plugin in plugins:
        never.add(str(getattr(plugin, "__name__", type(plugin).__module__)).partition(".")[0])
    for each in metadata.distributions():
        if any(point.group == "pytest11" for point in each.entry_points):
            never |= {str(file).split("/")[0].partition(".")[0] for file in each.files or ()}
    never -= kept
    found = []
    for name, module in list(sys.modules.items()):
        top = name.partition(".")[0]
        file = str(getattr(module, "__file__", "") or "")
        ours = top.startswith("soa_") or top in never
        outside = not file or "-packages" in file or file.startswith((sys.base_prefix, sys.prefix))
        if not ours and outside and getattr(module, "__spec__", None) is not None:
            found.append(name)
    return found


def import_ahead(modules: list[str], root: str) -> str:
    """Import what can be; the name of one of the workspace's own that came along."""
    for name in modules:
        try:
            __import__(name)
        except BaseException:  # noqa: S112 - then the tests import it, or fail, by themselves
            continue
        own = own_module(root) if "." not in name else ""
        if own:
            return own
    return ""


def rewrite_ahead(config: Any, root: str, names: set[str]) -> None:
    """Have pytest's byte code of these files, and of the conftests above them, lie where pytest looks for it.

    Nothing of them is run. What cannot be had like this, or says anything, each child reads by itself.
    """
    rewrite: Any = sys.modules.get("_pytest.assertion.rewrite")
    conftests = {f"{folder}conftest.py" for name in names for folder in _folders(name)}
    for name in () if sys.dont_write_bytecode else sorted(names | conftests):
        file = Path(root, name)
        try:
            state = config.stash[rewrite.assertstate_key]
            cache = rewrite.get_cache_dir(file) / (file.name[:-3] + rewrite.PYC_TAIL)
            if file.suffix != ".py" or rewrite._read_pyc(file, cache) is not None:
                continue
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                seen, code = rewrite._rewrite_test(file, config)
            cache.parent.mkdir(parents=True, exist_ok=True)
            rewrite._write_pyc(state, code, seen, cache)
        except Exception:  # noqa: S112 - other versions of pytest; files that are not there, or do not parse
            continue


def _folders(name: str) -> Iterator[str]:
    """The folders above a file, as beginnings of the paths in them."""
    parts = name.split("/")[:-1]
    return ("".join(f"{part}/" for part in parts[:count]) for count in range(len(parts) + 1))
