"""What a test run must be able to read besides the folder: found by looking at files, without running any."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

_CONFIGURATION = (
    *("pytest.ini", ".pytest.ini", "pytest.toml", ".pytest.toml", "pyproject.toml", "tox.ini"),
    *("setup.cfg", "conftest.py", "setup.py"),
)


@dataclass(frozen=True, slots=True)
class Visible:
    """Paths to read, symbolic links (path, target) to be there, and the base of `pip install --user`."""

    paths: tuple[str, ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    user_base: str = ""


def interpreter_files(interpreter: Path, home: Path) -> Visible:
    """What `interpreter` needs to start and to import what is installed for it.

    `home` is the person's; never it or a directory above it, only what lies below it and belongs to Python.
    """
    links: list[tuple[str, str]] = []
    prefixes: list[Path] = []
    for hop in _hops(interpreter):
        if hop.is_symlink():
            links.append((str(hop), str(hop.readlink())))
        prefixes += _prefixes(hop)
    user_base = home / ".local"
    if not any((p / "pyvenv.cfg").is_file() for p in prefixes):
        prefixes += [p for p in user_base.glob("lib/python3*/site-packages") if p.is_dir()]
    roots = [p for p in dict.fromkeys(prefixes) if _allowed(p, home)]
    further = [p for root in roots for p in _path_files(root) if p.exists() and _allowed(p, home)]
    has_user = any(p.is_relative_to(user_base) for p in roots)
    paths = tuple(dict.fromkeys(str(p) for p in (*roots, *further)))
    return Visible(paths, tuple(dict.fromkeys(links)), str(user_base) if has_user else "")


def surroundings(folder: Path, home: Path) -> tuple[str, ...]:
    """Above `folder`: pytest's configuration up to the repository's root, and that repository's `.git`."""
    found: list[Path] = []
    for above in (folder, *folder.parents):
        git = above / ".git"
        if above != folder:
            found += [above / name for name in _CONFIGURATION if (above / name).is_file()]
        if git.exists():
            repository = [git, *_git_directory(git)]
            return tuple(str(p) for p in (*found, *repository) if not p.is_relative_to(folder))
        if above in (home, Path(above.anchor)):
            break
    return ()


def _git_directory(git: Path) -> Iterator[Path]:
    """A worktree's or submodule's `.git` is a file that names the real place."""
    if not git.is_file():
        return
    place = Path(git.read_text(encoding="utf-8", errors="replace").partition("gitdir:")[2].strip())
    place = place if place.is_absolute() else (git.parent / place).resolve()
    if place.parts[-2:-1] == ("worktrees",):
        place = place.parent.parent
    if place.name == ".git" or ".git" in place.parts:
        yield place


def _hops(path: Path) -> Iterator[Path]:
    """`path` and where its symbolic links lead, one by one, those of parent directories included."""
    seen: set[Path] = set()
    while path not in seen:
        seen.add(path)
        yield path
        for part in reversed((path, *path.parents)):
            if part.is_symlink():
                if part != path:
                    yield part
                path = (part.parent / part.readlink() / path.relative_to(part)).absolute()
                path = Path(_normal(path))
                break


def _normal(path: Path) -> str:
    parts: list[str] = []
    for part in path.parts:
        if part == "..":
            parts.pop()
        else:
            parts.append(part)
    return str(Path(*parts))


def _prefixes(executable: Path) -> Iterator[Path]:
    """The installation that an interpreter's path belongs to: a venv, a base prefix, a version manager."""
    folder, prefix = executable.parent, executable.parent.parent
    settings = prefix / "pyvenv.cfg"
    if settings.is_file():
        yield prefix
        base = _base_of(settings)
        if base is not None and base != prefix:
            yield base
    elif _is_installation(prefix) or folder.name == "shims":
        yield prefix


def _is_installation(prefix: Path) -> bool:
    return any(prefix.glob("lib*/python3*/os.py")) or any(prefix.glob("lib*/pypy3*/os.py"))


def _base_of(settings: Path) -> Path | None:
    for line in settings.read_text(encoding="utf-8", errors="replace").splitlines():
        key, _, value = line.partition("=")
        if key.strip() == "home":
            base = Path(value.strip()).parent
            return base if _is_installation(base) else None
    return None


def _allowed(path: Path, home: Path) -> bool:
    """Never the home or what holds it: a `bin` directly below it does not make the home an installation."""
    return path.is_absolute() and not home.is_relative_to(path)


def _path_files(prefix: Path) -> Iterator[Path]:
    """Directories that `.pth` files and editable installs below `prefix` add to the import path."""
    for site in {prefix, *prefix.glob("lib*/python3*/site-packages")}:
        for file in site.glob("*.pth"):
            for line in _lines(file):
                if line and not line.startswith(("#", "import ", "import\t")):
                    yield site / line
        for finder in site.glob("__editable__*_finder.py"):
            yield from map(Path, _mapped(finder))


def _lines(file: Path) -> list[str]:
    try:
        return [line.strip() for line in file.read_text(encoding="utf-8", errors="replace").splitlines()]
    except OSError:
        return []


def _mapped(finder: Path) -> Iterable[str]:
    """The directories in the `MAPPING` that setuptools writes into its editable finders."""
    try:
        tree = ast.parse(finder.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return
    for node in tree.body:
        if not isinstance(node, ast.Assign | ast.AnnAssign) or not isinstance(node.value, ast.Dict):
            continue
        target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
        if isinstance(target, ast.Name) and target.id == "MAPPING":
            values = (v.value for v in node.value.values if isinstance(v, ast.Constant))
            yield from (value for value in values if isinstance(value, str))
