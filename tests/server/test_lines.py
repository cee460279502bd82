"""Holds: positions and offsets are inverse in all three encodings; lines end as the protocol says."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from soa_server.lsp.lines import Encoding, LineIndex

ENCODINGS: tuple[Encoding, ...] = ("utf-8", "utf-16", "utf-32")
SIZES = {"utf-8": ("utf-8", 1), "utf-16": ("utf-16-le", 2), "utf-32": ("utf-32-le", 4)}
TEXTS = st.text(st.sampled_from("ab \t\r\n\x0b\x0c\x1c\x85\u2028\u2029é€😀\ufeff"), max_size=40)


def reference(text: str, offset: int, encoding: Encoding) -> tuple[int, int]:
    """The position by definition: the slow way."""
    line, start = 0, 0
    for end in re.finditer(r"\r\n|\n|\r", text):
        if end.end() > offset:
            break
        line, start = line + 1, end.end()
    codec, size = SIZES[encoding]
    return line, len(text[start:offset].encode(codec)) // size


@given(TEXTS, st.sampled_from(ENCODINGS), st.data())
def test_positions_and_offsets_are_inverse(text: str, encoding: Encoding, data: st.DataObject) -> None:
    lines = LineIndex.of(text, encoding)
    offset = data.draw(st.integers(0, len(text)))
    position = lines.position(offset)
    assert position == reference(text, offset, encoding)
    if text[offset - 1 : offset + 1] != "\r\n":  # no position names the middle of a line's end
        assert lines.offset(*position) == offset


@given(TEXTS, st.sampled_from(ENCODINGS), st.integers(-2, 50), st.integers(-2, 50))
def test_any_position_is_an_offset_of_its_line(text: str, encoding: Encoding, line: int, units: int) -> None:
    lines = LineIndex.of(text, encoding)
    offset = lines.offset(line, units)
    assert 0 <= offset <= len(text)
    if 0 <= line < len(lines.starts):
        assert lines.position(offset)[0] == line


@pytest.mark.parametrize(
    ("text", "encoding", "position", "offset"),
    [
        ("a\x0cb\u2028c\x85d\ne", "utf-16", (1, 0), 8),
        ("x\r\ny\rz\n", "utf-16", (2, 1), 6),
        ("😀b", "utf-16", (0, 2), 1),
        ("😀b", "utf-16", (0, 1), 0),  # inside a pair: its start
        ("😀b", "utf-8", (0, 4), 1),
        ("😀b", "utf-32", (0, 1), 1),
        ("ab\r\ncd", "utf-16", (0, 99), 2),  # behind the line: before its end
        ("ab", "utf-16", (7, 0), 2),
    ],
)
def test_known_positions(text: str, encoding: Encoding, position: tuple[int, int], offset: int) -> None:
    assert LineIndex.of(text, encoding).offset(*position) == offset


@given(TEXTS, TEXTS, st.data())
def test_an_edited_index_is_that_of_the_new_text(text: str, new: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    edited = LineIndex.of(text, "utf-16").edited(start, end, new)
    assert edited == LineIndex.of(text[:start] + new + text[end:], "utf-16")
