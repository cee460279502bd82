"""What a job came to, function by function: as plain values, as Markdown, as a page."""

from soa_agents.jobs.report.account import Account, account
from soa_agents.jobs.report.write import as_html, as_markdown, keep, write

__all__ = ["Account", "account", "as_html", "as_markdown", "keep", "write"]
