"""A way into the task log that can be shut: what a database that is away looks like to the log writer."""

import threading

from edgebed.experiment.errors import EnvironmentFault


class Door:
    """Passes rows on while it is open, and remembers in which order they went through."""

    def __init__(self, append=None):
        self.append = append or len
        self.open = True
        self.passed = []
        self.tried = threading.Semaphore(0)

    def __call__(self, rows):
        if not self.open:
            self.tried.release()
            raise EnvironmentFault("the door is shut; open it")
        new = self.append(rows)
        self.passed.extend(rows)
        return new

    def wait_for_a_try(self):
        """Until somebody found it shut, who had not tried when this was called."""
        while self.tried.acquire(blocking=False):
            pass
        assert self.tried.acquire(timeout=10)
