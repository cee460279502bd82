"""Whatever is wrong, a person reads one clear sentence, nothing is lost and no process stays behind.

Through the installed server, over stdio, and through the command line: models that misbehave, workspaces
that something is wrong with, a function that changes while its job runs, documents without a file.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from e2e.bad_input import (
    CALC,
    FILES,
    MEANWHILE,
    MISBEHAVIOURS,
    RIGHT,
    SHAPES,
    SOLVED,
    Misbehaviour,
    Shape,
    Typing,
)
from lsp_client import Editor, Json
from openai_server import Answer, OpenAIServer, asked, scripted

SOA = str(Path(sys.executable).with_name("soa"))
GENERATE = "Generate with SoA"
GOOD: Mapping[str, list[str]] = {
    "skeleton": [RIGHT],
    "code": [RIGHT],
    "modify": [RIGHT],
    "feedback": ["It does not add."],
    "tests": ["```python\nfrom calc import add\n\n\ndef test_sum():\n    assert add(1, 2) == 3\n```"],
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty workspace folder."""
    folder = tmp_path / "workspace"
    folder.mkdir()
    return folder


@pytest.fixture(autouse=True)
def nobody_stays(tmp_path: Path) -> Any:
    """No process that works in the test's folder is left when it ends."""
    yield
    left = [p for p in psutil.process_iter(["cmdline", "cwd"]) if str(tmp_path) in _where(p)]
    gone, alive = psutil.wait_procs(left, timeout=3)
    assert not alive, f"{[p.info for p in alive]} stayed behind; {len(gone)} ended late"


# -- the server


@pytest.mark.parametrize("case", MISBEHAVIOURS, ids=lambda case: case.name)
async def test_a_misbehaving_model_changes_nothing(case: Misbehaviour, root: Path) -> None:
    written(root, FILES)
    with OpenAIServer(case.reply) as server:
        async with editor_on(root, server.base_url) as editor:
            end = await generate(editor, root / "calc.py")
            assert end["state"] == "failed", end
            assert_sentence(end["message"], case.words)
            assert editor.buffer(root / "calc.py").text == CALC
            assert editor.edits == []
    assert on_disk(root) == FILES_ON_DISK
    assert len(server.requests) < 20


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
async def test_a_workspace_ends_as_its_tests_can_tell(shape: Shape, root: Path) -> None:
    written(root, shape.files)
    before = on_disk(root)
    settings = dict(shape.settings)
    if shape.name == "an interpreter without pytest":
        settings["tests"] = {"interpreter": str(bare_interpreter(root.parent))}
    with OpenAIServer(scripted({"*": {**GOOD, **shape.replies}})) as server:
        async with editor_on(root, server.base_url, settings) as editor:
            end = await generate(editor, root / "calc.py")
            assert (end["state"], end.get("verdict")) == (shape.state, shape.verdict), end
            assert_sentence(end.get("message") or editor.messages[-1]["message"], shape.words)
            final = SOLVED if shape.state == "done" else CALC
            assert editor.buffer(root / "calc.py").text == final
    assert on_disk(root) == before


async def test_a_declined_preview_leaves_the_text(root: Path) -> None:
    written(root, {"calc.py": CALC})
    with OpenAIServer(scripted({"*": GOOD})) as server:
        async with editor_on(root, server.base_url) as editor:
            editor.manners.confirms = False
            end = await generate(editor, root / "calc.py")
            assert (end["state"], end["verdict"]) == ("refused", "untested")
            assert_sentence(end["message"])
            assert editor.buffer(root / "calc.py").text == CALC


@pytest.mark.parametrize("case", MEANWHILE, ids=lambda case: case.name)
async def test_what_is_typed_meanwhile_is_kept(case: Typing, root: Path) -> None:
    written(root, FILES)
    go = threading.Event()
    with OpenAIServer(lambda request: Answer(GOOD[asked(request)[1]][0], hold=go)) as server:
        async with editor_on(root, server.base_url) as editor:
            path = root / "calc.py"
            await editor.open(path)
            job = await editor.act(path, "def add", GENERATE)
            await asyncio.to_thread(server.wait, lambda: server.requests)
            editor.type(path, case.text)
            go.set()
            end = await editor.end(job)
            assert end["state"] == case.state, end
            if case.state == "refused":
                assert_sentence(end["message"], ("add",))
            assert editor.buffer(path).text == case.final
    assert on_disk(root) == FILES_ON_DISK


async def test_a_second_job_on_the_same_function_is_refused(root: Path) -> None:
    written(root, FILES)
    go = threading.Event()
    with OpenAIServer(lambda request: Answer(GOOD[asked(request)[1]][0], hold=go)) as server:
        async with editor_on(root, server.base_url) as editor:
            path = root / "calc.py"
            buffer = await editor.open(path)
            first = await editor.act(path, "def add", GENERATE)
            await asyncio.to_thread(server.wait, lambda: server.requests)
            arguments = {"uri": buffer.uri, "qualname": "add", "version": buffer.version}
            second = await editor.end(await editor.run("soa.generate", arguments))
            assert second["state"] == "refused"
            assert_sentence(second["message"], ("add", "another job"))
            go.set()
            assert (await editor.end(first))["state"] == "done"
            assert buffer.text == SOLVED


async def test_a_file_without_a_folder_is_worked_on_beside_its_tests(root: Path) -> None:
    written(root, {"calc.py": CALC, "test_calc.py": FILES["tests/test_calc.py"]})
    with OpenAIServer(scripted({"*": GOOD})) as server:
        async with editor_on(None, server.base_url, home=root.parent / "home") as editor:
            end = await generate(editor, root / "calc.py")
            assert (end["state"], end["verdict"]) == ("done", "passed"), end
            assert editor.buffer(root / "calc.py").text == SOLVED


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("untitled:Untitled-1", ("save",)),
        ("vscode-notebook-cell:/somewhere/a.ipynb#W0sZmlsZQ", ("notebook",)),
        ("git:/somewhere/calc.py?HEAD", ("file",)),
    ],
)
async def test_a_document_without_a_file_is_answered_with_a_sentence(
    uri: str, words: tuple[str, ...], root: Path
) -> None:
    written(root, FILES)
    with OpenAIServer(scripted({"*": GOOD})) as server:
        async with editor_on(root, server.base_url) as editor:
            buffer = await editor.open(root / "calc.py", CALC, uri=uri)
            await editor.actions(root / "calc.py", "def add")  # offered or not, but answered
            arguments = {"uri": uri, "qualname": "add", "version": buffer.version}
            end = await editor.end(await editor.run("soa.generate", arguments))
            assert end["state"] == "refused"
            assert_sentence(end["message"], words)
            assert buffer.text == CALC
    assert server.requests == []


@pytest.mark.parametrize(
    ("name", "content"), [("junk.py", bytes(range(256))), ("gone.py", None), ("folder.py", "folder")]
)
async def test_a_file_that_cannot_be_read_is_refused(name: str, content: object, root: Path) -> None:
    written(root, FILES)
    if isinstance(content, bytes):
        (root / name).write_bytes(content)
    elif content == "folder":
        (root / name).mkdir()
    with OpenAIServer(scripted({"*": GOOD})) as server:
        async with editor_on(root, server.base_url) as editor:
            arguments = {"uri": (root / name).as_uri(), "qualname": "add", "version": None}
            end = await editor.end(await editor.run("soa.generate", arguments))
            assert end["state"] == "refused"
            assert_sentence(end["message"], (name,))
    assert server.requests == []


# -- the command line


TELLING = [case for case in MISBEHAVIOURS if case.exit == 3 or case.name == "prose"]


@pytest.mark.parametrize("case", TELLING, ids=lambda case: case.name)
def test_the_exit_code_says_how_the_model_failed(case: Misbehaviour, root: Path) -> None:
    written(root, FILES)
    with OpenAIServer(case.reply) as server:
        done = soa(root, "generate", "calc.py::add", "--json", "--apply", url=server.base_url)
    assert done.returncode == case.exit, done.stderr
    printed = json.loads(done.stdout)
    assert printed["state"] == "failed"
    assert_sentence(printed["message"], case.words)
    assert "Traceback" not in done.stderr
    assert on_disk(root) == FILES_ON_DISK


ENDINGS = {(shape.state, shape.verdict): shape for shape in reversed(SHAPES)}  # one of each is enough


@pytest.mark.parametrize("shape", ENDINGS.values(), ids=lambda shape: shape.name)
def test_apply_writes_only_what_was_proven(shape: Shape, root: Path) -> None:
    written(root, shape.files)
    before = on_disk(root)
    settings = shape.settings.get("tests", {})
    if shape.name == "an interpreter without pytest":
        settings = {"interpreter": str(bare_interpreter(root.parent))}
    with OpenAIServer(scripted({"*": {**GOOD, **shape.replies}})) as server:
        done = soa(root, "generate", "calc.py::add", "--json", "--apply", url=server.base_url, tests=settings)
    printed = json.loads(done.stdout)
    assert (printed["state"], printed.get("verdict")) == (shape.state, shape.verdict), done.stderr
    assert done.returncode == (0 if shape.state == "done" else 1), done.stderr
    assert "Traceback" not in done.stderr
    if shape.verdict == "passed":
        before["calc.py"] = SOLVED.encode()
    else:
        assert_sentence(printed["message"], shape.words)
    assert on_disk(root) == before


NO_MODEL = (
    ("nothing is named", {}, ("No model is configured", "OPENAI_API_KEY")),
    ("nobody answers", {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}, ("http://127.0.0.1:9/v1",)),
    ("no such host", {"OPENAI_BASE_URL": "http://nowhere.invalid/v1"}, ("nowhere.invalid",)),
    ("no URL", {"OPENAI_BASE_URL": "localhost:8000"}, ("is no address of a model's server",)),
)


@pytest.mark.parametrize(("name", "environment", "words"), NO_MODEL, ids=[row[0] for row in NO_MODEL])
def test_without_a_model_the_exit_code_is_3(
    name: str, environment: dict[str, str], words: tuple[str, ...], root: Path
) -> None:
    written(root, FILES)
    done = soa(root, "generate", "calc.py::add", "--json", **environment)
    assert done.returncode == 3, done.stderr
    printed = json.loads(done.stdout)
    assert printed["state"] == "failed"
    assert_sentence(printed["message"], words)


async def test_the_server_says_that_no_model_is_named(root: Path) -> None:
    written(root, FILES)
    async with editor_on(root, "") as editor:
        end = await generate(editor, root / "calc.py")
        assert end["state"] == "failed"
        assert_sentence(end["message"], ("No model is configured",))


def test_of_several_models_one_has_to_be_named(root: Path) -> None:
    written(root, FILES)
    with OpenAIServer(scripted({"*": GOOD}), models=("a", "b", "c")) as server:
        done = soa(root, "generate", "calc.py::add", "--json", url=server.base_url, SOA_MODEL="")
        assert done.returncode == 3, done.stderr
        assert_sentence(json.loads(done.stdout)["message"], ("offers 3 models: a, b, c", "SOA_MODEL"))
        chosen = soa(root, "generate", "calc.py::add", "--json", url=server.base_url, SOA_MODEL="b")
        assert chosen.returncode == 0, chosen.stderr


WRONG_USE = (
    (("generate",), 2),
    (("generate", "calc.py"), 2),
    (("generate", "calc.py::add", "--no-such-option"), 2),
    (("generate", "calc.py::add", "--calls", "many"), 2),
    (("generate", "calc.py::missing"), 1),
    (("generate", "nowhere.py::add"), 2),
    (("generate", "tests/test_calc.py::test_add"), 1),
    (("explain", "calc.py::add", "--step", "dance"), 2),
    (("stubs", "nowhere.py"), 2),
    (("nonsense",), 2),
)


@pytest.mark.parametrize(("arguments", "code"), WRONG_USE, ids=[" ".join(row[0]) for row in WRONG_USE])
def test_wrong_use_is_told(arguments: tuple[str, ...], code: int, root: Path) -> None:
    written(root, FILES)
    with OpenAIServer(scripted({"*": GOOD})) as server:
        done = soa(root, *arguments, url=server.base_url)
    assert done.returncode == code, done.stderr
    assert done.stderr.strip()
    assert "Traceback" not in done.stderr
    assert on_disk(root) == FILES_ON_DISK


# -- what the tests use

FILES_ON_DISK = {name: text.encode() if isinstance(text, str) else text for name, text in FILES.items()}


def written(root: Path, files: Mapping[str, str | bytes]) -> None:
    """Write the files below the folder."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)


def on_disk(root: Path) -> dict[str, bytes]:
    """Every file below the folder, so that nothing added goes unseen either."""
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def assert_sentence(message: str, words: tuple[str, ...] = ()) -> None:
    """One line that a person can read, holding all the words."""
    assert message and message == message.strip() and "\n" not in message, repr(message)
    assert message[-1] in ".?" and len(message) < 500, message
    assert "Traceback" not in message and "Error(" not in message, message
    missing = [word for word in words if word.lower() not in message.lower()]
    assert not missing, f"{missing} missing in: {message}"


@asynccontextmanager
async def editor_on(
    root: Path | None, url: str, settings: Mapping[str, Any] | None = None, home: Path | None = None
) -> AsyncIterator[Editor]:
    """An editor on the folder whose server asks the model at `url`, with nothing else configured."""
    model = {"model": {"name": "test-model", "baseUrl": url}} if url else {}
    environment = bare_environment(home or (root or Path()).parent / "home")
    async with Editor(
        [root] if root else [], options={**model, **(settings or {})}, env=environment
    ) as editor:
        yield editor


async def generate(editor: Editor, path: Path) -> Json:
    """Open the file, pick the action on `add`, wait for the job's end."""
    await editor.open(path)
    return await editor.end(await editor.act(path, "def add", GENERATE))


def soa(
    root: Path, *arguments: str, url: str = "", tests: Mapping[str, Any] | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the command line in the folder."""
    home = root.parent / "home"
    env = bare_environment(home)
    if url:
        env |= {"OPENAI_BASE_URL": url, "SOA_MODEL": "test-model"}
    if tests:
        config = home / ".config" / "soa-language-server" / "config.toml"
        config.parent.mkdir(parents=True)
        config.write_text("[tests]\n" + "".join(f"{k} = {json.dumps(v)}\n" for k, v in tests.items()))
    return subprocess.run(
        [SOA, *arguments],
        cwd=root,
        env={**env, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def bare_environment(home: Path) -> dict[str, str]:
    """A person's environment without a key, with a home of its own."""
    home.mkdir(exist_ok=True)
    return {**{k: v for k, v in os.environ.items() if k in ("PATH", "LANG", "LC_ALL")}, "HOME": str(home)}


def bare_interpreter(folder: Path) -> Path:
    """The interpreter of a new environment without pytest."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "bare"], check=True, timeout=60)
    return folder / "bare" / "bin" / "python"


def _where(process: psutil.Process) -> str:
    info = process.info
    return " ".join([*(info["cmdline"] or []), info["cwd"] or ""])
