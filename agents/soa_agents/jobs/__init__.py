"""Jobs, whole: from what a front end asks for to what it may apply. The engine's composition root."""

from soa_agents.jobs.explain import explain
from soa_agents.jobs.narrate import Note
from soa_agents.jobs.run import run_job

__all__ = ["Note", "explain", "run_job"]
