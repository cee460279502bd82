"""How a file is written: what its authors are told so that new code looks like the old. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

from soa_agents.swarm.views.skim import Skim

_NOTES = ("AGENTS.md", "CLAUDE.md", "CONTRIBUTING.md", "CONTRIBUTING.rst")
DOCUMENTS = (*_NOTES, "pyproject.toml")  # the files of a folder's root that say how its code is written
_TELLING = re.compile(
    r"\bstyle (?!\()|convention|docstring|type hint|annotate|naming|line length|\bquotes\b|\bPEP ?\d", re.I
)


def style(file: Skim, beside: Iterable[Skim] = ()) -> str:
    """The file's habits in one line: indentation, quotes, type hints, docstrings.

    Of a file without functions it is what a file `beside` it does, the first that has several.
    """
    model = file if file.functions else next((f for f in beside if len(f.functions) > 1), None)
    return _habits(model) if model else ""


@lru_cache(maxsize=64)  # every agent of a file is told the same
def _habits(model: Skim) -> str:
    said = [_indentation(model.text), _quotes(model.text), _hints(model), _docstrings(model), _imports(model)]
    return "; ".join(s for s in said if s)


def notes(documents: Mapping[str, str]) -> str:
    """The paragraphs of the project's own notes that speak of code, at most a kilobyte.

    `documents` are texts of files in the root by name; the first known name counts.
    """
    text = next((documents[name] for name in _NOTES if name in documents), "")
    kept: list[str] = []
    for paragraph in re.split(r"\n\s*\n", text.replace("\r\n", "\n").strip()):
        prose = "\n".join(line for line in paragraph.split("\n") if not line.startswith("#"))
        if not _TELLING.search(prose):
            continue
        if sum(map(len, kept)) + len(paragraph) < 900:
            kept.append(paragraph)
    return "\n\n".join(kept)


def required_python(documents: Mapping[str, str]) -> str:
    """The Python versions that `pyproject.toml` says the project supports, or nothing."""
    found = re.search(r"^requires-python\s*=\s*[\"']([^\"']+)", documents.get("pyproject.toml", ""), re.M)
    least = re.fullmatch(r">=\s*(3\.\d+)", found.group(1).strip()) if found else None
    return f"{least.group(1)} and newer" if least else found.group(1) if found else ""


def _indentation(text: str) -> str:
    tabs = len(re.findall(r"^\t", text, re.M))
    spaces = re.findall(r"^( +)(?=\S)", text, re.M)
    if tabs > len(spaces):
        return "tabs for indentation"
    widths = [len(s) for s in spaces]
    return f"{2 if widths and min(widths) == 2 else 4} spaces for indentation"


def _quotes(text: str) -> str:
    single = len(re.findall(r"(?<!['\w\"])'(?!')[^'\"\n]*'(?!')", text))
    double = len(re.findall(r"(?<!['\w\"])\"(?!\")[^'\"\n]*\"(?!\")", text))
    if single + double < 3:
        return ""
    return "single quotes" if single > double else "double quotes"


def _hints(file: Skim) -> str:
    signatures = [file.text[f.signature.start : f.signature.end] for f in file.functions]
    hinted = sum("->" in s or re.search(r"\w\s*:\s*[\w'\"]", s) is not None for s in signatures)
    if hinted * 2 > len(signatures):
        return "functions have type hints"
    return "no type hints" if not hinted else ""


def _imports(file: Skim) -> str:
    bodies = [file.text[f.body.start : f.body.end] for f in file.functions]
    local = sum(
        re.search(r"^[ \t]*(?:import|from [\w.]+ import) \w", body, re.M) is not None for body in bodies
    )
    return "functions import what they alone need inside" if local > 1 and local * 4 >= len(bodies) else ""


def _docstrings(file: Skim) -> str:
    found = [file.text[f.docstring.start : f.docstring.end] for f in file.functions if f.docstring]
    if not found:
        return ""
    said = "\n".join(found)
    if re.search(r"^\s*:(param|returns?|raises|type)\b", said, re.M):
        return "docstrings with `:param x:` fields"
    if re.search(r"^\s*(Args|Returns|Raises):\s*$", said, re.M):
        return "docstrings in Google style"
    if re.search(r"^\s*(Parameters|Returns)\n\s*-{3,}", said, re.M):
        return "docstrings in NumPy style"
    return "plain docstrings" + (" with doctest examples" if ">>>" in said else "")
