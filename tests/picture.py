"""Take the README's picture: `python tests/picture.py server/demo.svg` runs the demo and draws its start."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

LINES = 34  # the first scene; the rest looks the same


def main(target: Path) -> None:
    """Run the demo as on a terminal and write its first lines as an SVG."""
    env = {**os.environ, "FORCE_COLOR": "1", "COLUMNS": "110", "TTY_COMPATIBLE": "1", "TTY_INTERACTIVE": "0"}
    env = {name: value for name, value in env.items() if not name.startswith("OPENAI_")}
    command = [sys.executable, "-m", "soa_server.cli", "demo"]
    shown = subprocess.run(command, env=env, capture_output=True, text=True, check=True, timeout=120).stdout
    final = re.sub(r"\x1b\[\?25[lh]", "", shown)
    console = Console(record=True, width=108, file=Path(os.devnull).open("w"))  # noqa: SIM115  # ends with us
    console.print(Text("$ make demo", "bold"))
    for line in final.splitlines()[:LINES]:
        console.print(Text.from_ansi(line), soft_wrap=True)
    svg = console.export_svg(title="soa demo")
    svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)  # nothing to load from elsewhere
    target.write_text("".join(f"{line.rstrip()}\n" for line in svg.splitlines()), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
