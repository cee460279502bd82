"""Offsets and positions of a text, as the protocol counts them.

Lines end at `\\n`, `\\r\\n` and `\\r` and nowhere else (`str.splitlines` also cuts at form feeds and others).
A position is a line and a number of code units in it: bytes of UTF-8, units of UTF-16, or code points.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import Literal, NamedTuple

Encoding = Literal["utf-8", "utf-16", "utf-32"]

MARK = "\ufeff"  # the byte order mark
_ENDS = re.compile(r"\r\n|\n|\r")
_CODECS: dict[Encoding, tuple[str, int]] = {
    "utf-8": ("utf-8", 1),
    "utf-16": ("utf-16-le", 2),
    "utf-32": ("utf-32-le", 4),
}


class LineIndex(NamedTuple):
    """The lines of one text. `encoding` is what the client and the server agreed on.

    `lead` are the code units that the first line has before the text, a byte order mark's where the client
    counts it.
    """

    text: str
    starts: tuple[int, ...]
    encoding: Encoding
    lead: int = 0

    @classmethod
    def of(cls, text: str, encoding: Encoding, *, marked: bool = False) -> LineIndex:
        """The index of a text. `marked`: the client's text begins with a byte order mark, `text` does not."""
        starts = (0, *(end.end() for end in _ENDS.finditer(text)))
        return cls(text, starts, encoding, _units(MARK, encoding) if marked else 0)

    def edited(self, start: int, end: int, new: str) -> LineIndex:
        """The index after the characters from `start` to `end` were replaced; the other lines are kept.

        A line's end of two characters may come together or apart at the edges: they are read again.
        """
        text = self.text[:start] + new + self.text[end:]
        by = len(new) - (end - start)
        first = bisect_right(self.starts, max(start - 1, 0))
        last = bisect_right(self.starts, end + 1)
        limit = self.starts[last] + by if last < len(self.starts) else len(text) + 1
        between = _ENDS.finditer(text, self.starts[first - 1], limit)
        read = [at for match in between if (at := match.end()) < limit]
        starts = (*self.starts[:first], *read, *[at + by for at in self.starts[last:]])
        return LineIndex(text, starts, self.encoding, self.lead)

    def position(self, offset: int) -> tuple[int, int]:
        """Line and code units before `offset`, both from 0; an offset outside the text is moved into it."""
        offset = min(max(offset, 0), len(self.text))
        line = bisect_right(self.starts, offset) - 1
        lead = 0 if line else self.lead
        return line, lead + _units(self.text[self.starts[line] : offset], self.encoding)

    def offset(self, line: int, units: int) -> int:
        """The character offset of a position.

        Behind a line's end it is the line's end (before its newline), behind the last line the text's end;
        inside a character it is the character's start.
        """
        if line < 0:
            return 0
        if line >= len(self.starts):
            return len(self.text)
        start, content = self.starts[line], self._content(line)
        units -= 0 if line else self.lead
        if content.isascii() or self.encoding == "utf-32":
            return start + min(max(units, 0), len(content))
        codec, size = _CODECS[self.encoding]
        cut = content.encode(codec, "surrogatepass")[: max(units, 0) * size]
        return start + len(cut.decode(codec, "ignore"))

    def line_span(self, line: int) -> tuple[int, int]:
        """The offsets of a line's content, without white space around it and without its newline."""
        line = min(max(line, 0), len(self.starts) - 1)
        content = self._content(line)
        start = self.starts[line] + len(content) - len(content.lstrip())
        return start, max(start, self.starts[line] + len(content.rstrip()))

    def _content(self, line: int) -> str:
        end = self.starts[line + 1] if line + 1 < len(self.starts) else len(self.text)
        return self.text[self.starts[line] : end].rstrip("\r\n")


def _units(text: str, encoding: Encoding) -> int:
    if text.isascii():
        return len(text)
    codec, size = _CODECS[encoding]
    return len(text.encode(codec, "surrogatepass")) // size
