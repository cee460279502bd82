"""A reply's text: its thinking dropped, its blocks of code found and parsed. Pure."""

from __future__ import annotations

import ast
import re
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from soa_agents.errors import ReplyError

PYTHON = f"Python {sys.version_info[0]}.{sys.version_info[1]}"  # the workspace's may be another


@dataclass(frozen=True, slots=True)
class Block:
    """One block of code, dedented. `tree` is empty where `error` says why it does not parse."""

    source: str
    tree: ast.Module
    error: SyntaxError | None = None
    closed: bool = True


def answer(text: str, finish: str) -> str:
    """The reply without its thinking. Raises `ReplyError` for one that cannot be read."""
    if finish == "length":
        raise ReplyError(
            "Your reply was cut off before its end. Send the whole answer again, shorter: less thinking, no "
            "prose around the code, smaller functions."
        )
    if finish == "repeated":
        raise ReplyError(
            "Your reply said the same again and again and was cut off. Send the whole answer again, once."
        )
    if finish == "content_filter":
        raise ReplyError(
            "Your reply was withheld by a content filter. Send the answer again, in other words."
        )
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    said = _without_thinking(text).strip("\n")
    if not said.strip():
        raise ReplyError("Your reply was empty. Send the answer in the format that was asked for.")
    if re.match(r"\s*(<!doctype html|<html\b)", said, re.IGNORECASE):
        raise ReplyError("Your reply was an HTML page. Send the answer in the format that was asked for.")
    return said


def abstention(said: str) -> str:
    """The reason of an answer that begins with `Abstain: reason`, else nothing."""
    first = said.lstrip().partition("\n")[0]
    match = re.match(r"[\s*_#>]*abstain[*_]*\s*:[\s*_]*(.+)", first, re.IGNORECASE)
    return match[1].strip(" *_") if match else ""


def blocks_of(said: str) -> tuple[Block, ...]:
    """The fenced blocks; the whole reply where it has no fence and is Python."""
    lines = said.split("\n")
    found: list[Block] = []
    row = 0
    while row < len(lines):
        opening = re.match(r"([ \t]*)(`{3,}|~{3,})[^`]*$", lines[row])
        row += 1
        if not opening:
            continue
        ends = [end for end in range(row, len(lines)) if _closes(lines[end], opening[2])]
        margin = len(opening[1])
        # A fence inside a docstring looks like the end: the first end that leaves whole Python is taken.
        tried = [_block(lines[row:end], margin) for end in ends[:12]]
        good = next((number for number, each in enumerate(tried) if each.error is None), 0)
        if ends:
            found.append(tried[good])
            row = ends[good] + 1
        else:
            found.append(_block(lines[row:], margin, closed=False))
            row = len(lines)
    if not found:
        whole = _block(lines, 0)
        found = [whole] if whole.tree.body else []
    return tuple(found)


def only_block(text: str, finish: str, what: str) -> Block:
    """The last block that parses; raises `ReplyError` when there is none."""
    blocks = blocks_of(answer(text, finish))
    good = [block for block in blocks if block.tree.body]
    if good:
        return good[-1]
    again = f"Send one fenced python block of {what}."
    raise ReplyError(f"{complaint(blocks[-1])} {again}" if blocks else f"Your reply holds no code. {again}")


def complaint(block: Block) -> str:
    """Why a block cannot be used, as a sentence for the model."""
    if block.error is None:
        return "Your code block is empty."
    error, lines = block.error, block.source.split("\n")
    row = error.lineno or 0
    line = f": {lines[row - 1].strip()}" if 0 < row <= len(lines) else ""
    unclosed = "" if block.closed else " The block has no closing fence."
    return f"Your code does not parse as {PYTHON}: {error.msg} (line {row} of the block{line}).{unclosed}"


def _without_thinking(text: str) -> str:
    """Drops `<think>…</think>` outside of code; where one of the two is missing, all on its side."""
    kept: list[str] = []
    fence, thinking = "", False
    for line in text.split("\n"):
        if thinking:
            _, closed, after = line.partition("</think")
            thinking = not closed
            line = after.partition(">")[2]
            if thinking or not line.strip():
                continue
        if fence:
            fence = "" if _closes(line, fence) else fence
        elif opening := re.match(r"\s*(`{3,}|~{3,})", line):
            fence = opening[1]
        elif re.match(r"\s*<think(ing)?>", line):
            closed_at = line.find("</think")
            thinking = closed_at < 0
            line = "" if thinking else line[closed_at:].partition(">")[2]
        elif re.match(r".*</think(ing)?>\s*$", line):
            kept, line = [], ""
        kept.append(line)
    return "\n".join(kept)


def _closes(line: str, fence: str) -> bool:
    bare = line.strip()
    return len(bare) >= len(fence) and not bare.strip(fence[0])


def _block(lines: Sequence[str], margin: int, closed: bool = True) -> Block:
    source = "\n".join(line[margin:] if not line[:margin].strip() else line for line in lines)
    block = _parsed(source, closed)
    return _parsed(textwrap.dedent(source), closed) if isinstance(block.error, IndentationError) else block


def _parsed(source: str, closed: bool) -> Block:
    try:
        return Block(source, ast.parse(source), closed=closed)
    except SyntaxError as error:
        return Block(source, ast.Module([], []), error, closed)
    except ValueError as error:  # a NUL character
        return Block(source, ast.Module([], []), SyntaxError(str(error)), closed)
    except (MemoryError, RecursionError):  # how the parser says that the nesting is too deep
        return Block(source, ast.Module([], []), SyntaxError("it is nested too deeply"), closed)
