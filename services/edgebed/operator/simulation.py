"""How the Job of a simulated experiment stands."""

from edgebed.operator.case import Case
from edgebed.operator.trouble import ending
from edgebed.operator.upkeep import belongs, job_ended


def simulated_course(case: Case) -> str:
    """Not there, running, finished, or failed with its reason; as `Runs.find` would say of a run."""
    job = case.observed.object("Job", case.names.job)
    if job is None or not belongs(job, case.names) or job["metadata"].get("deletionTimestamp"):
        return "not there"
    if job_ended(job, "Complete") is not None:
        return "finished"
    failed = job_ended(job, "Failed")
    if failed is not None:
        ended = [pod for pod in case.observed.pods if pod.get("status", {}).get("phase") == "Failed"]
        latest = max(ended, key=lambda pod: str(pod["metadata"].get("creationTimestamp")), default=None)
        where = "" if latest is None else f"pod {latest['metadata']['name']} {ending(latest)}"
        return f"failed: {where or failed.get('message') or failed.get('reason')}"
    running = any(pod.get("status", {}).get("phase") == "Running" for pod in case.observed.pods)
    return "running" if running else "not there"
