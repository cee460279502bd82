"""A model that says what it was given: for tests, examples and whoever writes a protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from soa_agents.errors import ModelError
from soa_agents.models import metered
from soa_agents.models.port import Prompt, Reply

Script = Mapping[str, Mapping[str, Sequence[str | Reply]]]


class ScriptedModel:
    """A `Model` that answers by target (or `*`) and step, in the order given.

    `replies` is `{"a.py::f": {"code": ["first", "second"]}, "*": {…}}`; a target of its own wins over `*`. A
    prompt that was asked before gets the reply it got before, so that a resumed job sees the same model; each
    new prompt for a target and step takes the next. `asked` holds every prompt in order of arrival. Raises
    `ModelError` when a script runs out.
    """

    def __init__(self, replies: Script) -> None:
        self._replies = replies
        self._taken: dict[tuple[str, str], int] = {}
        self._given: dict[str, Reply] = {}
        self.asked: list[Prompt] = []

    async def ask(self, prompt: Prompt) -> Reply:
        """The reply of the script, with estimated usage where it is a bare text."""
        self.asked.append(prompt)
        if prompt.digest not in self._given:
            self._given[prompt.digest] = self._next(prompt)
        return self._given[prompt.digest]

    def _next(self, prompt: Prompt) -> Reply:
        key = (prompt.target, prompt.step)
        number = self._taken.get(key, 0)
        own = self._replies.get(prompt.target, {}).get(prompt.step)
        listed = self._replies.get("*", {}).get(prompt.step, ()) if own is None else own
        if number >= len(listed):
            raise ModelError(
                f"The script has {len(listed)} replies for step {prompt.step} of {prompt.target}, "
                "and one more is asked for. Add it."
            )
        self._taken[key] = number + 1
        reply = listed[number]
        if isinstance(reply, Reply):
            return reply
        return Reply(reply, usage=metered.estimated(prompt, reply), model="scripted")
