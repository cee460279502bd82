"""The structure: imports point one way, libraries and processes have their places, nothing grows too long."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = {
    ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path
    for root in (ROOT / "agents", ROOT / "server")
    for path in sorted(root.rglob("*.py"))
    if "demo_workspace" not in path.parts
}

BASE = {"errors", "settings"}
MAY_IMPORT = {  # part of the engine -> the parts it may import beside itself
    "errors": set[str](),
    "settings": {"errors"},
    "patch": BASE,
    "workspace": BASE | {"patch"},
    "models": BASE,
    "verify": BASE | {"patch", "workspace"},
    "remote": BASE | {"workspace", "verify"},
    "prompts": BASE | {"models", "workspace", "verify"},
    "swarm": BASE | {"patch", "workspace", "models", "verify", "prompts", "wire"},
    "protocols": BASE | {"patch", "workspace", "models", "verify", "prompts", "swarm"},
}
TOP = {"jobs", "bench", "__main__", "wire"}  # compose the parts; they may import all of them
ONLY_IN = {  # library -> the only modules (or packages, with a dot at the end) that import it
    "openai": ("soa_agents.models.openai_chat",),
    "git": ("soa_agents.workspace.repository",),
    "ray": ("soa_agents.remote.cluster",),
    "pytest": ("soa_agents.verify.plugin",),
    "_pytest": ("soa_agents.verify.plugin",),
    "pygls": ("soa_server.lsp.", "soa_server.cli.demo", "soa_server.cli.editor"),
    "lsprotocol": ("soa_server.lsp.", "soa_server.cli.demo", "soa_server.cli.editor"),
    "watchfiles": ("soa_server.lsp.watching",),
    "click": ("soa_server.cli.",),
    "rich": ("soa_server.cli.",),
}
STARTS_PROCESSES = (
    "soa_server.lsp.supervisor",
    "soa_agents.workspace.repository",
    "soa_agents.verify.",
    "soa_server.cli.demo",
)
PROCESS_CALLS = {
    "create_subprocess_exec",
    "create_subprocess_shell",
    "fork",
    "posix_spawn",
    "system",
    "popen",
}
LSP_SHAPES = {"Position", "Range", "TextEdit", "AnnotatedTextEdit", "TextDocumentEdit", "WorkspaceEdit"}
LSP_SHAPES |= {"CodeAction", "CodeLens", "Diagnostic", "Location", "DiagnosticRelatedInformation"}
TRANSLATORS = ("soa_server.lsp.from_lsp", "soa_server.lsp.to_lsp", "soa_server.cli.editor")


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(SOURCES[module].read_text(encoding="utf-8"))


def imports(module: str, *, lazy: bool = True) -> Iterator[str]:
    """Absolute names that the module imports; those inside functions too when `lazy`."""
    package = module if SOURCES[module].name == "__init__.py" else module.rpartition(".")[0]
    inner = {
        id(node)
        for function in ast.walk(tree(module))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree(module)):
        if not lazy and id(node) in inner:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def among(module: str, allowed: tuple[str, ...]) -> bool:
    return any(module == a or (a.endswith(".") and f"{module}.".startswith(a)) for a in allowed)


@pytest.mark.parametrize("module", SOURCES)
def test_imports_point_one_way(module: str) -> None:
    package, _, rest = module.partition(".")
    part = rest.partition(".")[0]
    if package == "soa_server":
        lsp_to_cli = [n for n in imports(module) if part == "lsp" and n.startswith("soa_server.cli")]
        assert not lsp_to_cli, "the language server knows no command line"
        return
    assert not [n for n in imports(module) if n.split(".")[0] == "soa_server"], (
        "the engine knows no front end"
    )
    if not part or part in TOP:
        return
    found = {n.split(".")[1] for n in imports(module) if n.startswith("soa_agents.")}
    assert found <= MAY_IMPORT[part] | {part}


@pytest.mark.parametrize("library", ONLY_IN)
def test_a_library_has_its_own_place(library: str) -> None:
    users = {m for m in SOURCES for n in imports(m) if n.split(".")[0] == library}
    assert not {m for m in users if not among(m, ONLY_IN[library])}


def launched() -> set[str]:
    """What the launcher of the jail is made of, and what is copied into jails beside the tests."""
    found = [f"soa_agents.verify.{name}" for name in ("jail", "layers", "attacks", "intrusions", "recorder")]
    for module in found:
        found += [n for n in imports(module) if n in SOURCES and n.count(".") == 2 and n not in found]
    return set(found)


@pytest.mark.parametrize("module", sorted(launched()))
def test_the_launcher_and_its_like_need_only_the_standard_library(module: str) -> None:
    """It starts with -S, without anything that is installed; and what is not there cannot be attacked."""
    needed = {n.partition(".")[0] for n in imports(module) if not n.startswith("soa_")}
    assert needed <= sys.stdlib_module_names
    assert not {n for n in imports(module) if n.startswith("soa_agents.") and n.count(".") == 2} - launched()


@pytest.mark.parametrize("library", ["git", "openai", "ray"])
def test_slow_libraries_are_not_loaded_with_their_neighbours(library: str) -> None:
    place = ONLY_IN[library][0]
    if library in ("git", "ray"):
        assert not [n for n in imports(place, lazy=False) if n.split(".")[0] == library]
    else:
        users = [m for m in SOURCES for n in imports(m, lazy=False) if n == place]
        assert not users, "imported inside functions only"


@pytest.mark.parametrize("module", SOURCES)
def test_processes_start_in_four_places(module: str) -> None:
    if among(module, STARTS_PROCESSES):
        return
    assert not {n for n in imports(module) if n.split(".")[0] in ("subprocess", "multiprocessing", "pty")}
    called = {
        n.func.attr
        for n in ast.walk(tree(module))
        if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute)
    }
    assert not called & PROCESS_CALLS
    assert not [name for name in called if name.startswith(("execv", "execl", "spawnv", "spawnl"))]


@pytest.mark.parametrize(
    "module", [m for m in SOURCES if m.startswith("soa_server.") and m not in TRANSLATORS]
)
def test_only_the_translators_build_protocol_shapes(module: str) -> None:
    calls = [n.func for n in ast.walk(tree(module)) if isinstance(n, ast.Call)]
    names = {
        f.attr if isinstance(f, ast.Attribute) else f.id
        for f in calls
        if isinstance(f, ast.Attribute | ast.Name)
    }
    assert not names & LSP_SHAPES


@pytest.mark.parametrize("module", SOURCES)
def test_nothing_grows_too_long(module: str) -> None:
    lines = SOURCES[module].read_text(encoding="utf-8").count("\n")
    assert lines <= 450, "a module this long wants to be two"
    long = {
        node.name: node.end_lineno - node.lineno + 1
        for node in ast.walk(tree(module))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if node.end_lineno is not None and node.end_lineno - node.lineno >= 60
    }
    assert not long
