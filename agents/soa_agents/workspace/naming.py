"""Which names code uses and binds, from its text with strings and comments taken out.

Whatever binds a name is rewritten to `name:=`, a file at a time, so that one quick search finds all there is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from keyword import kwlist

from soa_agents.workspace.facts import Uses
from soa_agents.workspace.lexical import arguments, closing, split

KEYWORDS = frozenset(kwlist)
_ROUND, _SQUARE = r"\((?:[^()\n]++|\([^()\n]*+\))*+\)", r"\[(?:[^\[\]\n]++|\[[^\[\]\n]*+\])*+\]"
_TARGETS = (
    rf"((?:[* \v]*+(?:[\w.]++|{_ROUND}|{_SQUARE})(?:{_SQUARE}|{_ROUND}|\.\w++)*+[ \v]*+,?[ \v]*+)++)=(?!=)"
)
_BINDING = re.compile(
    r"([\n;] *+)(?:(\w++)[ \v]*+=(?!=)"
    r"|(?!else\b|try\b|finally\b)([\w.]++)[ \v]*+:(?!=)(?![ \v]*+(?:[\n;]|\Z))([^=\n;(]*+)(=(?!=))?"
    rf"|{_TARGETS})",
    re.ASCII,
)
_CHAINED = re.compile(rf"(:=[ \v]*+){_TARGETS}", re.ASCII)
_FOR = re.compile(r"for(?<![\w.]for)([ \v(\[*][^:;\n]*?)(?=\bin\b)", re.ASCII)
_AS = re.compile(r"(as(?<![\w.]as)[ \v]+\w++)(?![ \v]*[\[(.])", re.ASCII)
_LAMBDA = re.compile(r"lambda(?<![\w.]lambda)\b([^:]*):", re.ASCII)
_BARE = re.compile(r"\w+(?:, *\w+)*")
_SPREAD = re.compile(r"(?:(?<![\d.])|(?<=[A-Za-z_]\d))\.([ \v]+)")
_ANNOTATED = re.compile(r"(?<![\w.])((?:self\.)?\w+):=\x01([^\x01]*)\x01")
_TOKEN = re.compile(r"[\w.]++(?:[ \v]*+:?=(?!=))?", re.ASCII)
_INNERMOST = re.compile(r"\([^()\[\]{}]*\)|\[[^()\[\]{}]*\]|\{[^()\[\]{}]*\}")


def marked(code: str) -> str:
    """The code with `:=` behind every name that is bound where it stands."""
    if "lambda" in code:
        code = _LAMBDA.sub(lambda found: f"({_arguments_bound(found[1])}){_lines(found[0])}", code)
    code, again = _BINDING.sub(_binding, code), 1
    while again:
        code, again = _CHAINED.subn(lambda found: f"{found[1]}{_bound(found[2])} :=", code)
    if "for" in code:
        code = _FOR.sub(lambda found: f"for {_bound(found[1])} ", code)
    if "as" in code:
        code = _AS.sub(r"\1:=", code)
    return _SPREAD.sub(r"\1.", code) if ". " in code or ".\v" in code else code


def _binding(found: re.Match[str]) -> str:
    """What a statement assigns to; `name: annotation = value` becomes `name:= annotation, value`.

    The annotation stands between two signs that no source has.
    """
    begin, name, annotated, annotation, value, targets = found.groups()
    if name:
        return f"{begin}{name}:={found[0][len(begin) + len(name) : -1]}"
    if annotated:
        return f"{begin}{annotated}:=\x01{annotation}\x01{',' if value else ''}"
    return f"{begin}{_bound(targets)} :="


def _arguments_bound(text: str) -> str:
    """The parameters of a `lambda`; names in defaults are used."""
    found = []
    for each in split(text):
        name, _, default = each.partition("=")
        if bare := name.strip(" \v*/"):
            found.append(f"{bare}:= {default}")
    return ",".join(found)


def _bound(targets: str) -> str:
    """What stands before `=` or `in`: names are bound, those of attributes and items are used."""
    return ",".join(_bound_each(targets.replace("\v", " "))) + _lines(targets)


def _bound_each(targets: str) -> Iterator[str]:
    for each in split(targets):
        bare = each.strip("* ")
        if bare.isidentifier():
            yield f"{bare}:="
        elif bare[:1] in ("(", "[") and closing(bare, 0) == len(bare) - 1:
            yield from _bound_each(bare[1:-1])
        else:
            yield bare


def _lines(text: str) -> str:
    """The line ends of a text that is left out."""
    return "\v" * text.count("\v")


def uses_of(code: str, head: str | None = None) -> Uses:
    """The names in marked code. `head` is what stands between a function's name and its last colon."""
    uses = Uses()
    if head is not None:
        code = f"{_parameters(head, uses)} {code}"
    if "\x01" in code:
        uses.types.update(_ANNOTATED.findall(code))
    tokens = set(_TOKEN.findall(code)) - KEYWORDS
    used = uses.used = {token for token in tokens if token[0] > "9" and token[-1] != "="}
    for token in tokens - used:
        if token[0] == "." and token[1:2] > "9":
            used.update([f".{part}" for part in token.rstrip("= \v:").split(".") if part])
        elif token[0] > "9":
            name = token[:-1].rstrip()
            if "." in name:
                used.add(name.rstrip(": \v"))
            elif name[-1] == ":":  # else it is an argument's name
                uses.bound.add(name[:-1].rstrip())
    return uses


def _parameters(head: str, uses: Uses) -> str:
    """Note the parameters; the names of their annotations and defaults are left."""
    inner, rest = arguments(head)
    if _BARE.fullmatch(inner):
        uses.parameters.update(inner.replace(" ", "").split(","))
        return rest
    left = [rest]
    for each in split(inner):
        name, colon, after = each.partition(":")
        if "=" in name:
            name, colon, after = each.partition("=")
        bare = name.strip(" \v*")
        if not bare or bare == "/":
            continue
        default = colon == "=" or (colon == ":" and "=" in _shallow(after))
        (uses.bound if each[0] == "*" or default else uses.parameters).add(bare)
        parts = _apart(after) if default and colon == ":" else [after]
        left += parts
        if colon == ":" and each[0] != "*":
            uses.types[bare] = parts[0]
    return " ,".join(left)


def _shallow(text: str) -> str:
    """Without what stands in brackets."""
    while (less := _INNERMOST.sub("", text)) != text:
        text = less
    return text


def _apart(text: str) -> list[str]:
    """An annotation and a default."""
    depth = 0
    for at, sign in enumerate(text):
        depth += (sign in "([{") - (sign in ")]}")
        if sign == "=" and not depth:
            return [text[:at], text[at + 1 :]]
    return [text]
