"""A bar for each run of a request, until the request ends or waits for a person."""

from rich.progress import Progress, TaskID

from app.cli.output import plain, progress
from client import Erasure, ErasureItem, LotusClient, Run

# How far a run is when a phase begins; epochs fill the span of the running phase.
PHASES = {"queued": 0.0, "running": 0.05, "verifying": 0.7, "publishing": 0.95}
ENDED = 1.0


def follow(
    lotus: LotusClient, request: str, *, as_json: bool, timeout: float | None = None
) -> Erasure:
    with progress(as_json=as_json) as bars:
        tasks: dict[str, TaskID] = {}
        for erasure in lotus.watch(request, timeout=timeout):
            for item in erasure.items:
                if item.id not in tasks:
                    tasks[item.id] = bars.add_task(plain(item.model_name), total=1.0)
                _show(bars, tasks[item.id], lotus, item)
        return erasure


def _show(bars: Progress, task: TaskID, lotus: LotusClient, item: ErasureItem) -> None:
    if item.state != "running" or item.run is None:
        done = 0.0 if item.state == "scheduled" else ENDED
        bars.update(task, completed=done, description=f"{plain(item.model_name)}: {item.state}")
        return
    run = lotus.get_run(item.run)
    text = f"{plain(item.model_name)}: {run.state}{_epochs(run)}"
    bars.update(task, completed=_fraction(run), description=text)


def _fraction(run: Run) -> float:
    start = PHASES.get(run.state, ENDED)
    if run.state != "running":
        return start
    planned = max(1, int((run.progress or {}).get("planned_epochs") or 1))
    done = int((run.progress or {}).get("epoch") or 0)
    return start + (PHASES["verifying"] - start) * min(1.0, done / planned)


def _epochs(run: Run) -> str:
    progress = run.progress or {}
    if run.state != "running" or not progress.get("epoch"):
        return ""
    return f", epoch {progress['epoch']} of at most {progress.get('planned_epochs')}"
