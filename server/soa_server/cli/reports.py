"""Reports of jobs: kept for those of several functions, written where a person asks for one."""

from __future__ import annotations

from pathlib import Path

from soa_agents.errors import Refused, SoaError
from soa_agents.swarm.job import JobResult
from soa_agents.swarm.ledger import Ledger

from soa_server.cli.past import job_of


def of_job(root: Path, result: JobResult, file: Path | None) -> str:
    """Write or keep the report of a job that just ended. Returns a sentence that says where it is."""
    several = len(result.update.target) == 0 or "::" not in result.update.target
    if result.update.state == "refused" or not (file or several):
        return ""
    try:
        with job_of(root, result.update.job_id) as (ledger, _):
            return write(ledger, result.update.job_id, file)
    except (SoaError, OSError) as error:  # the job itself has ended well or not; that was told
        return f"There is no report: {error}" if file else ""


def write(ledger: Ledger, job_id: str, file: Path | None) -> str:
    """Write a job's report to `file`, or keep it where its job is kept if it has several functions.

    Returns a sentence that says where it is, or nothing. Raises `Refused` when there is nothing to tell yet.
    """
    from soa_agents.jobs import report  # here, for its templates are slow to load

    told = report.account(ledger.events(job_id))
    if told is None:
        raise Refused(f"Job {job_id} had not got to its agents, so there is nothing to report.")
    if file is not None:
        report.write(told, file)
        return f"The report is in {file}."
    if len(told.rows) == 1:
        return ""
    return f"The report is kept in {report.keep(told, ledger.reports)}."
