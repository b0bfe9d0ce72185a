"""Any use of log writer and database, in any order, gives what a plain dict gives: the first record of every task."""

import shutil
import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from edgebed.stores.log_writer import LogWriter
from edgebed.stores.task_log import TaskLogStore
from edgebed.systems.cooperative.lifecycle import TaskState
from tests.stores.doors import Door
from tests.stores.records import rows

EPISODES = 2
LONG_S = 60.0


class Log(RuleBasedStateMachine):
    """Batches, outages, new processes; first come, first kept."""

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.store = TaskLogStore(f"sqlite:///{self.folder}/tasks.db")
        self.door = Door(self.store.append_rows)
        self.writer = LogWriter(self.door, self.folder / "spool")
        self.wanted = {}

    def teardown(self):
        self.door.open = True
        assert self.writer.close(LONG_S)
        self.compare()
        self.store.close()
        shutil.rmtree(self.folder)

    def compare(self):
        for episode in range(EPISODES):
            mine = {task: status for (e, task), status in self.wanted.items() if e == episode}
            found = self.store.read_all("run", [episode])
            assert dict(zip(found.number.tolist(), found.log.status.tolist(), strict=True)) == mine
            labels = Counter(TaskState(status).label for status in mine.values())
            assert (
                self.store.counts("run", episode)
                == {"succeeded": 0, "dropped": 0, "failed": 0, "unfinished": 0} | labels
            )
            assert self.store.tasks_of("run", episode) == set(mine)

    @rule(
        episode=st.integers(0, EPISODES - 1), tasks=st.lists(st.integers(0, 30), max_size=12), status=st.integers(0, 3)
    )
    def put(self, episode, tasks, status):
        self.writer.put(rows(tasks, episode=episode, status=status))
        for task in tasks:
            self.wanted.setdefault((episode, task), status)

    @rule()
    def shut(self):
        self.door.open = False

    @rule()
    def open(self):
        self.door.open = True

    @rule()
    def flush(self):
        if self.door.open:
            assert self.writer.flush(LONG_S)
            self.compare()
        else:
            self.writer.flush(0.0)

    @rule()
    def another_process(self):
        self.writer.close(0.0)
        self.writer = LogWriter(self.door, self.folder / "spool")

    @rule()
    def open_the_database_again(self):
        self.store.close()
        self.store = TaskLogStore(f"sqlite:///{self.folder}/tasks.db")
        self.door.append = self.store.append_rows

    @invariant()
    def nothing_is_refused(self):
        assert self.writer.refused == 0


TestLogMachine = Log.TestCase
TestLogMachine.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
