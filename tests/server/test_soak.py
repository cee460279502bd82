"""A server that was sent much, valid and not, still answers rightly and has not grown."""

from __future__ import annotations

from pathlib import Path

from soak import soak


def test_random_messages_do_no_harm(tmp_path: Path) -> None:
    early, late = soak(tmp_path, 1500)
    assert late < early * 1.25, "the long run, by hand, allows a tenth; a short one has hardly settled"
