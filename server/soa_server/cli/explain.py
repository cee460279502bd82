"""`soa explain`: what an agent would see, section by section, before anything is sent."""

from __future__ import annotations

import asyncio

import click
from rich.text import Text

from soa_server.cli import jobs, place, show, words
from soa_server.cli.generate import kind_of
from soa_server.cli.options import workspace

STEPS = ("skeleton", "code", "modify", "tests", "feedback", "stubs")

EXAMPLES = """\b
Examples:
  soa explain billing/invoice.py::total_due
  soa explain --step modify app.py::Cart.total
"""


@click.command(epilog=EXAMPLES, short_help="Show what a model would be told.")
@click.argument("function", metavar="PATH::NAME")
@click.option("--step", type=click.Choice(STEPS), default="skeleton", show_default=True, help="Which call.")
def command(function: str, step: str) -> None:
    """Print what a model would be told of a function, and about how many tokens each section takes.

    Nothing is sent anywhere and no test is run.
    """
    from soa_agents.jobs import explain

    here = workspace()
    target = place.function_id(function, here.root, here.here)
    start = jobs.new_job(here, kind_of(here, [target]), [str(target)])
    rows = asyncio.run(explain(start, str(target), step))
    out = show.console()
    for row in rows:
        out.print(Text(f"{row.section}  ≈ {words.short(row.tokens)} tokens", "bold"))
        out.print(Text(row.text.rstrip() + "\n"))
    total = sum(row.tokens for row in rows)
    limit = here.settings.model.context_tokens
    out.print(Text(f"≈ {words.short(total)} tokens of {words.short(limit)} (model.contextTokens)", "bold"))
