"""What a task does on a node: waits, computes, or converts video.

`application` says what an application is, `registry` finds one by name, and each has a file of its own. `worker` keeps the
process that works for a node, so that the node itself never starts one in the middle of an episode.
"""

from edgebed.emulation.applications.application import Application, Running, Work
from edgebed.emulation.applications.registry import application_names, build_application, find_application

__all__ = ["Application", "Running", "Work", "application_names", "build_application", "find_application"]
