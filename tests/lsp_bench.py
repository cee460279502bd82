"""A workspace, a server with a planned engine, and an editor in front of it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lsp_client import VSCODE, Editor

FAKE = Path(__file__).parent / "server" / "fake_engine.py"

SHOP = '''"""A shop's sums."""

import math


def total(prices):
    """The sum of all prices."""
    raise NotImplementedError


def release():
    ...


class Cart:
    """A cart with an add and a remove method."""

    @property
    def size(self):
        return math.floor(1.5)

    def outer(self):
        def inner():
            pass

        return inner
'''


@dataclass(slots=True)
class Bench:
    """A workspace and what the engine will do. `editor` makes an editor before that server."""

    root: Path
    shop: Path
    plan_file: Path
    env: dict[str, str]

    def plan(self, steps: Mapping[str, Any]) -> None:
        """What the engine does with a job, by function."""
        self.plan_file.write_text(json.dumps(steps))

    def received(self) -> list[dict[str, Any]]:
        """What the engine was sent."""
        log = self.plan_file.with_suffix(".log")
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    def command(self) -> list[str]:
        """The server's command line, with the planned engine."""
        engine = [sys.executable, str(FAKE), str(self.plan_file)]
        code = f"import sys; from soa_server.lsp.serve import serve_stdio; sys.exit(serve_stdio({engine!r}))"
        return [sys.executable, "-c", code]

    def editor(
        self,
        *folders: Path,
        capabilities: dict[str, Any] = VSCODE,
        options: dict[str, Any] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Editor:
        """An editor before a server of its own."""
        return Editor(
            folders or [self.root],
            command=self.command(),
            capabilities=capabilities,
            options=options,
            env={**self.env, **(env or {})},
        )


def make_bench(tmp_path: Path) -> Bench:
    """A small workspace below `tmp_path`, and a home of its own for the server."""
    root = tmp_path / "shop project"
    root.mkdir()
    (root / "shop.py").write_bytes(SHOP.encode())
    home = tmp_path / "home"
    home.mkdir()
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("OPENAI_", "SOA_", "XDG_"))}
    bench = Bench(root, root / "shop.py", tmp_path / "plan.json", {**keep, "HOME": str(home)})
    bench.plan({})
    return bench
