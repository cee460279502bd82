"""`soa demo`: the real server over stdio on a bundled workspace, with an editor's part played to it."""

from __future__ import annotations

import asyncio
import difflib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import Console
from rich.text import Text
from soa_agents.swarm.job import AgentUpdate, JobUpdate
from soa_agents.wire import from_json

from soa_server.cli import replay, show, words
from soa_server.cli.editor import Editor, Json
from soa_server.cli.exits import Exit
from soa_server.cli.options import Workspace, workspace

BUNDLED = Path(__file__).parent / "demo_workspace"
WIDTH = 64
NEXT = (
    "Next: set OPENAI_API_KEY (or OPENAI_BASE_URL for a local server) and SOA_MODEL, then `soa doctor`. "
    "Any editor: let it start `soa serve` for Python."
)


@dataclass(frozen=True, slots=True)
class Scene:
    """What a person does: the cursor `at` a place of a file, then a code action. `before` is how it stood."""

    action: str
    path: str
    at: str
    target: str
    before: str

    @property
    def title(self) -> str:
        """The action without the product's name."""
        return self.action.removesuffix(" with SoA")


SCENES = (
    Scene(
        "Generate with SoA",
        "billing/invoice.py",
        "def total_due",
        "billing/invoice.py::total_due",
        "stub, 4 tests fail",
    ),
    Scene(
        "Regenerate with SoA",
        "text/slug.py",
        "def slugify",
        "text/slug.py::slugify",
        "2 of 6 tests fail",
    ),
    Scene(
        "Generate stubs from docstring with SoA",
        "shop/stock.py",
        "take_in",
        "shop/stock.py",
        "a docstring, no code",
    ),
)


@dataclass(frozen=True, slots=True)
class Cast:
    """Who writes: a sentence that says so, what the editor's settings say, the server's environment."""

    sentence: str
    settings: Json
    env: Mapping[str, str]
    bundled: bool


@click.command(short_help="See it work on a bundled workspace.")
@click.option("--bundled", is_flag=True, help="Use the bundled replies even though a model is configured.")
def command(bundled: bool) -> None:
    """Show a whole session on a small bundled workspace: agents, tests, diffs.

    Starts the real language server and plays an editor's part to it, in a temporary folder. With a model
    configured it is asked; otherwise bundled replies stand in for one, and no key is needed.
    """
    here = workspace()
    out = show.console()
    out.print(Text("SoA demo: a real language-server session on a small bundled workspace.", "bold"))
    with _cast(here, bundled) as cast, tempfile.TemporaryDirectory(prefix="soa-demo-") as scratch:
        out.print(Text(f"Model: {cast.sentence}\n"))
        folder = Path(scratch).resolve() / "corner-shop"
        shutil.copytree(BUNDLED, folder, ignore=shutil.ignore_patterns("__pycache__", ".*"))
        env = {**cast.env, "XDG_STATE_HOME": str(Path(scratch) / "state")}  # the demo leaves no history
        good = asyncio.run(_play(cast, folder, env, out))
    out.print(
        Text(NEXT if cast.bundled else "Next: `soa doctor`, then `soa generate` on a function of yours.")
    )
    sys.exit(Exit.OK if good else Exit.FAILED)


@contextmanager
def _cast(here: Workspace, bundled: bool) -> Iterator[Cast]:
    model = here.settings.model
    tests = {"interpreter": sys.executable}  # as if chosen in the editor: the bundled tests need only pytest
    if not bundled and (here.key or model.base_url):
        place = f"{model.name or 'the only model'} at {model.base_url or 'api.openai.com'}"
        yield Cast(f"{place} (this asks it about a dozen times)", {"tests": tests}, os.environ, False)
        return
    recording = replay.bundled()
    why = "as asked" if bundled else "no model is configured"
    env = {name: value for name, value in os.environ.items() if name != model.api_key_env}
    with replay.serving(recording) as base_url:
        settings = {"model": {"baseUrl": base_url, "name": replay.MODEL}, "tests": tests}
        yield Cast(f"{recording.label} ({why}; {recording.written})", settings, env, True)


async def _play(cast: Cast, folder: Path, env: Mapping[str, str], out: Console) -> bool:
    """Play every scene; whether all of them ended well."""

    def choose(message: str, titles: list[str]) -> str | None:
        if cast.bundled and any(title.startswith("Allow") for title in titles):
            out.print(Text(f"   {message} The demo allows it, because its code is bundled."))
            return titles[0]
        return "Apply" if "Apply" in titles else None

    editor = Editor(folder, cast.settings, choose)
    await editor.start((sys.executable, "-m", "soa_server.cli", "serve"), env)
    try:
        results = [await _scene(editor, number, scene, out) for number, scene in enumerate(SCENES, 1)]
    except BaseException:
        editor.kill()
        raise
    await editor.stop()
    return all(results)


async def _scene(editor: Editor, number: int, scene: Scene, out: Console) -> bool:
    heading = f"{number}  {scene.title}: {scene.target}"
    out.print(Text(f"{heading:<{WIDTH}}{scene.before}", "bold"))
    before = _texts(editor.folder)
    began = time.monotonic()
    with show.Progress(out, indent="   ", whole=True) as progress:

        def heard(method: str, params: Json) -> None:
            if method == "soa/agent":
                progress.agent(from_json(params, AgentUpdate))

        editor.heard = heard
        end = await editor.act(scene.path, scene.at, scene.action)
    seconds = time.monotonic() - began
    update = from_json({"target": scene.target, **end}, JobUpdate)
    after = _texts(editor.folder)
    changed = [path for path in sorted(after) if after[path] != before.get(path)]
    out.print(show.coloured(f"   {_outcome(update, changed, scene)}      {_took(update, progress, seconds)}"))
    for path in changed:
        out.print(show.diff(_diff(path, before.get(path, ""), after[path]), "   "))
    return update.state == "done"


def _outcome(update: JobUpdate, changed: list[str], scene: Scene) -> str:
    if update.state != "done":
        return update.message or f"The job ended as {update.state}."
    rest = (
        "nothing else changed" if changed == [scene.path] else f"changed: {', '.join(changed) or 'nothing'}"
    )
    return f"{words.change(update.tests)}, {rest}" if update.tests else f"written, {rest}"


def _took(update: JobUpdate, progress: show.Progress, seconds: float) -> str:
    spent = [words.spent(update.usage, progress.board.size, " · ")] if update.usage else []
    return " · ".join([*spent, f"{seconds:.1f} s"])


def _texts(folder: Path) -> dict[str, str]:
    """Every file that a person wrote: nothing that running tests leaves behind."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
        for path in files
        if path.suffix in (".py", ".toml")
    }


def _diff(path: str, old: str, new: str) -> str:
    lines = difflib.unified_diff(
        old.splitlines(keepends=True), new.splitlines(keepends=True), f"a/{path}", f"b/{path}"
    )
    return "".join(lines)
