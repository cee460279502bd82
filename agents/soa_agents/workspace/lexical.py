"""Python source as code alone, one logical line a line: what a scan for names and definitions can read.

Whole-text operations of `re` and `bytes` do the work, so that it costs a tenth of a parser.
"""

from __future__ import annotations

import re

_QUIET = re.compile(  # strings and comments
    r'("""[^"\\]*+(?:(?:\\.|"(?!""))[^"\\]*+)*+"""'
    r"|'''[^'\\]*+(?:(?:\\.|'(?!''))[^'\\]*+)*+'''"
    r'|"[^"\\\n]*+(?:\\.[^"\\\n]*+)*+"'
    r"|'[^'\\\n]*+(?:\\.[^'\\\n]*+)*+'"
    r"|#[^\n]*+)",
    re.DOTALL,
)
_PREFIX = re.compile(r"(?<!\w)(?:[rbuft]|[rR][bft]|[bft][rR])\Z", re.IGNORECASE)
_BRACE = re.compile(r"[{}]")
_SPEC = re.compile(r"[()\[\]{}]|!(?!=)|:")
_NOT_SHAPE = bytes(set(range(256)) - set(b"()[]{}\n"))
_CLOSING = {")": "(", "]": "[", "}": "{"}
_ONE_LINER = re.compile(
    r"\n *+(?:if|elif|else|for|while|try|except|finally|with|def|class|async)\b"
    r"(?:[^\n:]++|:(?![ \v]*+(?:\n|\Z)))*+(?=\n|\Z)"
)
_COLON = re.compile(r"[()\[\]{}]|\blambda\b|:(?!=)")


class InDoubt(Exception):
    """Something that only a parser can tell."""


def code_of(text: str) -> str | None:
    """The text's logical lines, without comments, each behind a line feed; None where it seems broken.

    A line end inside brackets or strings, or behind a backslash, becomes a vertical tab, so that lines can
    still be counted. A string is `""`, bytes and formatted strings are `''`, with the expressions of the
    latter behind it in parentheses. Statements that share a line have a `;` between them, and one behind the
    colon of what they belong to.
    """
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    code = _without_strings(text)
    if code is None or not code.isascii():
        return None
    if "\\" in code:
        code = code.replace("\\\n", " \v")
    if "\t" in code:
        code = code.expandtabs()
    joined = _joined("\n" + code.replace("\f", ""))
    return None if joined is None else _ONE_LINER.sub(_apart, joined)


def _without_strings(text: str) -> str | None:
    parts = _QUIET.split(text)
    prefixed = [at for at, code in enumerate(parts[:-1:2]) if code[-1:].isalpha()]
    quiet = parts[1::2]
    parts[1::2] = [
        "" if each[0] == "#" else '""' if "\n" not in each else '""' + "\v" * each.count("\n")
        for each in quiet
    ]
    for at in prefixed:
        found = _PREFIX.search(parts[2 * at])
        if found is None or quiet[at][0] == "#":
            continue
        parts[2 * at] = parts[2 * at][: found.start()]
        letters = found[0].lower()
        if letters in ("r", "u"):
            continue
        parts[2 * at + 1] = "''" + "\v" * quiet[at].count("\n")
        if "f" in letters or "t" in letters:
            inner = _expressions(quiet[at])
            if inner is None:
                return None
            parts[2 * at + 1] += inner
    code = "".join(parts[::2])
    return None if '"' in code or "'" in code else "".join(parts)


def _expressions(string: str) -> str | None:
    """The expressions of a formatted string, each in parentheses; None when they cannot be told."""
    if "{" not in string:
        return ""
    found, depth, start, after = [], 0, 0, 0
    for brace in _BRACE.finditer(string):
        at = brace.start()
        if at < after:
            continue
        if not depth and string[at : at + 2] in ("{{", "}}"):
            after = at + 2
            continue
        depth += 1 if brace[0] == "{" else -1
        if depth < 0:
            return None
        if depth == 1 and brace[0] == "{":
            start = brace.end()
        elif depth == 0:
            inner = _expression(string[start:at])
            if inner is None:
                return None
            found.append(inner)
    return None if depth else "".join(found)


def _expression(field: str) -> str | None:
    """What stands between two braces, without its conversion; of its format only what is in braces."""
    code = _without_strings(field)
    if code is None:
        return None
    depth = 0
    for sign in _SPEC.finditer(code):
        if sign[0] in "([{":
            depth += 1
        elif sign[0] in ")]}":
            depth -= 1
        elif depth == 0:
            inner = _expressions(code[sign.end() :])
            return None if inner is None else f" ({_flat(code[: sign.start()])}){inner}"
    return f" ({_flat(code)})" if depth == 0 else None


def _flat(code: str) -> str:
    return code.strip().removesuffix("=").replace("\n", " ").replace("\v", " ")


def _joined(code: str) -> str | None:
    """The code with vertical tabs for the line ends inside brackets; None where brackets do not match."""
    shape = code.encode().translate(None, _NOT_SHAPE)
    while len(less := shape.replace(b"()", b"").replace(b"[]", b"").replace(b"{}", b"")) < len(shape):
        shape = less
    rows = shape.split(b"\n")
    lines = code.split("\n")
    pieces: list[str] = []
    waiting: list[str] = []
    first = done = 0
    for at in [at for at, row in enumerate(rows) if row]:
        if not waiting:
            first = at
        for sign in rows[at].decode():
            if sign not in _CLOSING:
                waiting.append(sign)
            elif not waiting or waiting.pop() != _CLOSING[sign]:
                return None
        if not waiting:
            pieces += lines[done:first]
            pieces.append("\v".join(lines[first : at + 1]))
            done = at + 1
    return None if waiting else "\n".join([*pieces, *lines[done:]])


def _apart(found: re.Match[str]) -> str:
    """A compound statement with its body on the same line, parted."""
    line = found[0]
    end = colon(line, 0)
    return f"{line[:end]};{line[end:]}" if end else line


def colon(code: str, start: int) -> int:
    """Behind the first colon outside brackets and `lambda`; 0 without one."""
    depth = lambdas = 0
    for sign in _COLON.finditer(code, start):
        if sign[0] in "([{":
            depth += 1
        elif sign[0] in ")]}":
            depth -= 1
        elif depth == 0 and sign[0] != ":":
            lambdas += 1
        elif depth == 0 and lambdas:
            lambdas -= 1
        elif depth == 0:
            return sign.end()
    return 0


def arguments(head: str) -> tuple[str, str]:
    """What stands between the parentheses of a head, and what stands before and behind them."""
    behind = closing(head, head.index("[")) if head.lstrip()[:1] == "[" else 0  # type parameters
    start = head.find("(", behind)
    if start < 0:
        return "", head
    end = closing(head, start)
    return head[start + 1 : end], f"{head[:start]} {head[end + 1 :]}"


def closing(text: str, start: int) -> int:
    """Where the bracket at `start` is closed; raises `InDoubt` where it is not."""
    depth = 0
    for at in range(start, len(text)):
        depth += (text[at] in "([{") - (text[at] in ")]}")
        if not depth:
            return at
    raise InDoubt


def split(text: str) -> list[str]:
    """At the commas outside brackets."""
    if not any(sign in text for sign in "([{"):
        return [each.strip() for each in text.split(",") if each.strip()]
    parts, depth, start = [], 0, 0
    for at, sign in enumerate(text):
        depth += (sign in "([{") - (sign in ")]}")
        if sign == "," and not depth:
            parts.append(text[start:at])
            start = at + 1
    return [each.strip() for each in (*parts, text[start:]) if each.strip()]
