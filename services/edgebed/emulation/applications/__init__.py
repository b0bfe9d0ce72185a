"""What a task does on a node: waits, computes, or converts video.

`application` says what an application is, `registry` finds one by name, `admission` looks
at an experiment's tasks before anything starts, and each has a file of its own. `worker` keeps the
process that works for a node, so that the node itself never starts one in the middle of an episode.
"""

from edgebed.emulation.applications.admission import check_profiles
from edgebed.emulation.applications.application import Application, Running, Work
from edgebed.emulation.applications.registry import application_names, build_application, find_application

__all__ = [
    "Application",
    "Running",
    "Work",
    "application_names",
    "build_application",
    "check_profiles",
    "find_application",
]
