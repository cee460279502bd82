"""An engine's process as the server sees it: JSON lines, and answers that follow a plan instead of a model.

`fake_engine.py PLAN` with a JSON object: name of a function (or file) -> what becomes of a job on it:
`body` (the new source of the function), `creates` (new files of tests by path), `result` (members of the
JobResult), `update` (members of the JobUpdate), `hold` (until it is cancelled, or until a job on `release`
comes), `die`, `agents`, `deaf`.
Everything received is appended to PLAN.log.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from soa_agents import wire
from soa_agents.patch import Edit, make_edit, make_patch
from soa_agents.swarm.job import JobResult, JobUpdate, StartJob
from soa_agents.workspace.functions import functions
from soa_agents.workspace.snapshot import Folder, Snapshot

PLAN = Path(sys.argv[1])
held: dict[str, StartJob] = {}


def send(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


def steps(start: StartJob) -> dict[str, Any]:
    name = start.targets[0].rpartition("::")[2].rpartition("/")[2]
    plan: dict[str, Any] = json.loads(PLAN.read_text())
    found: dict[str, Any] = plan.get(name, {})
    return found


def result(start: StartJob, state: str = "") -> dict[str, Any]:
    step = steps(start)
    base = {"state": "done", "verdict": "passed", "message": "", **step.get("update", {})}
    if state:
        base = {"state": state, "message": "The job was cancelled; nothing was applied."}
    update = JobUpdate(start.job_id, start.kind, start.targets[0], base["state"], message=base["message"])
    made = wire.to_json(JobResult(update))
    made["update"].update(base)
    if "body" in step and not state:
        made.update(patched(start, step["body"], step.get("creates", {})), offer="apply")
    made.update(step.get("result", {}))
    return {"type": "result", "jobId": start.job_id, "result": made}


def patched(start: StartJob, body: str, creates: dict[str, str]) -> dict[str, Any]:
    snapshot = Snapshot(tuple(Folder(f.name, Path(f.root)) for f in start.folders), start.buffers)
    path, _, qualname = start.targets[0].partition("::")
    text = snapshot.text(path)
    assert text is not None
    function = next(f for f in functions(path, text) if f.id.qualname == qualname)
    edit = make_edit(text, Edit(path, *function.span, body, "target", qualname))
    helper = make_edit(text, Edit(path, 0, 0, "", "import"))
    tests = [make_edit("", Edit(path, 0, 0, new, "tests")) for path, new in creates.items()]
    return {"patch": wire.to_json(make_patch([helper, edit, *tests], creates)), "texts": {path: text}}


def begin(start: StartJob) -> None:
    step = steps(start)
    send(
        {
            "type": "job",
            "params": wire.params(JobUpdate(start.job_id, start.kind, start.targets[0], "running")),
        }
    )
    send({"type": "progress", "jobId": start.job_id, "message": "asking the Mother", "percentage": 10})
    for agent in step.get("agents", []):
        send({"type": "agent", "params": {"jobId": start.job_id, **agent}})
    if step.get("die"):
        os._exit(3)
    if start.targets[0].endswith("::release"):
        for other in held.values():
            send(result(other))
        held.clear()
    if step.get("hold"):
        held[start.job_id] = start
    else:
        send(result(start))


def main() -> None:
    starts: dict[str, StartJob] = {}
    for line in sys.stdin:
        with PLAN.with_suffix(".log").open("a") as log:
            log.write(line)
        message = json.loads(line)
        if message["type"] == "start":
            start = wire.start_job(message["job"])
            starts[start.job_id] = start
        elif message["type"] == "secret":
            begin(starts[message["jobId"]])
        elif message["type"] == "cancel" and message["jobId"] in held:
            start = held.pop(message["jobId"])
            if not steps(start).get("deaf"):
                send(result(start, "done" if steps(start).get("late") else "cancelled"))


main()
