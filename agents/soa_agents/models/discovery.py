"""Which model servers listen on this machine: only ever a suggestion, nothing is sent but `GET /models`."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import httpx2

from soa_agents.models.reading import model_names

USUAL = (
    ("Ollama", "http://127.0.0.1:11434/v1"),
    ("llama.cpp", "http://127.0.0.1:8080/v1"),
    ("LM Studio", "http://127.0.0.1:1234/v1"),
    ("vLLM", "http://127.0.0.1:8000/v1"),
)


@dataclass(frozen=True, slots=True)
class LocalServer:
    """A server that answered. `name` is only what usually listens at its port."""

    name: str
    base_url: str
    models: tuple[str, ...]


async def local_servers(
    places: tuple[tuple[str, str], ...] = USUAL, seconds: float = 0.5
) -> tuple[LocalServer, ...]:
    """Those of `places` (name, base URL) that list a model within `seconds`, in the order given."""
    async with httpx2.AsyncClient(trust_env=False, timeout=seconds) as client:
        found = await asyncio.gather(*(_models(client, url, seconds) for _, url in places))
    return tuple(
        LocalServer(name, url, models) for (name, url), models in zip(places, found, strict=True) if models
    )


async def _models(client: httpx2.AsyncClient, base_url: str, seconds: float) -> tuple[str, ...]:
    try:
        async with asyncio.timeout(seconds):
            response = await client.get(f"{base_url}/models")
            return model_names(response.json()) if response.is_success else ()
    except (httpx2.HTTPError, TimeoutError, ValueError):
        return ()  # nobody there, or something else that is no model server
