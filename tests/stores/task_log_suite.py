"""What every database of the task log must do. A backend subclasses it, and gives `url` and `execute`."""

import re
import threading
from abc import ABC, abstractmethod
from dataclasses import astuple, replace

import numpy as np
import pytest

from edgebed.experiment.errors import UserError
from edgebed.stores import retention
from edgebed.stores.log_schema import COLUMNS
from edgebed.stores.task_log import Forgotten, TaskLogStore
from edgebed.systems.cooperative.errors import ModelError
from tests.stores.records import NETWORK, played, record, records_of, rows, same

NOTHING = {"succeeded": 0, "dropped": 0, "failed": 0, "unfinished": 0}


class TaskLogSuite(ABC):
    """Subclasses have a fixture `url` of an empty database."""

    @abstractmethod
    def execute(self, url, statement):
        """The rows of a plain SQL statement, not through the code under test."""

    def aged(self, url, days, run="run"):
        """Makes a run so old."""
        self.execute(url, f"UPDATE episodes SET registered_at = registered_at - {days * 86_400} WHERE run = '{run}'")

    @pytest.fixture
    def store(self, url):
        store = TaskLogStore(url)
        yield store
        store.close()

    @pytest.mark.parametrize("horizon", ["drain", "stop"])
    def test_a_log_comes_back(self, store, horizon):
        """Every column is bit by bit what was played, whether all tasks ended or the horizon cut some off."""
        log = played(3, horizon)
        records = records_of(log)
        assert store.append(records) == len(records) > 100
        assert same(store.read("run", [0]), log)

    def test_what_is_beside_the_log_comes_back(self, store):
        """The other columns are in the order of the log, and the numbers are those under which tasks travelled."""
        given = [
            record(7, slot=2, source=1, place=4, model_version=2**40, reason="nodeLost", decided_s=0.25),
            record(3, slot=2, source=0, place=5),
        ]
        store.append(given)
        found = store.read_all("run", [0])
        assert found.log.task.tolist() == [0, 1]
        assert found.number.tolist() == [3, 7]
        assert found.place.tolist() == [5, 4]
        assert found.model_version.tolist() == [0, 2**40]
        assert found.reason.tolist() == ["", "nodeLost"]
        assert np.array_equal(found.decided_s, [np.nan, 0.25], equal_nan=True)

    def test_every_value_is_kept(self, store, url):
        """Each column of a record is the column of its name in the table."""
        given = record(
            5, decided_s=0.1, sent_s=0.2, received_s=0.3, started_s=0.4, ended_s=0.5, probability=0.6, reason="ä"
        )
        given = replace(given, destination=2, place=9, status=3, model_version=11)
        store.append([given])
        assert self.execute(url, f"SELECT {', '.join(COLUMNS)} FROM tasks") == [astuple(given)]

    @pytest.mark.parametrize("seed", range(3))
    def test_order_of_arrival_does_not_matter(self, store, seed):
        """Records come from many nodes in any order; they are read in order of slot and source."""
        log = played(1)
        records = records_of(log)
        np.random.default_rng(seed).shuffle(records)
        for begin in range(0, len(records), 37):
            store.append(records[begin : begin + 37])
        assert same(store.read("run", [0]), log)

    def test_a_task_is_stored_once(self, store):
        """A batch that is sent again, whole or in part, adds nothing and changes nothing."""
        assert store.append_rows(rows(range(500))) == 500
        assert store.append_rows(rows(range(500))) == 0
        assert store.append_rows(rows(range(250, 750), status=3)) == 250
        assert store.counts("run", 0) == NOTHING | {"succeeded": 500, "failed": 250}

    def test_twice_in_one_batch_is_once(self, store):
        assert store.append([record(1), record(1, status=2)]) == 1
        assert store.counts("run", 0) == NOTHING | {"succeeded": 1}

    def test_runs_and_episodes_are_apart(self, store):
        """The same number in another run or episode is another task."""
        assert store.append([record(1), record(1, run="other"), record(1, episode=1)]) == 3
        for run, episode in (("run", 0), ("other", 0), ("run", 1)):
            assert store.counts(run, episode)["succeeded"] == 1
            assert store.tasks_of(run, episode) == {1}
        assert len(store.read("run", [0, 1])) == 2

    def test_run_names_are_compared_letter_by_letter(self, store):
        """A run of another case or accent is another run."""
        assert store.append([record(1, run=run) for run in ("run", "RUN", "rün")]) == 3

    def test_episodes_are_numbered_as_given(self, store):
        """A phase's episodes have any numbers in the run, and 0, 1, ... in the log of the phase."""
        store.append([record(t, episode=e) for e in (4, 7, 9) for t in range(e)])
        log = store.read("run", [9, 4])
        assert log.episode.tolist() == [0] * 9 + [1] * 4
        assert log.task.tolist() == [*range(9), *range(4)]

    def test_an_empty_episode_is_an_empty_log(self, store):
        for log in (store.read("run", []), store.read("run", [3])):
            assert len(log) == 0
            assert same(log, played(1).select(slice(0)))
        assert store.counts("run", 3) == NOTHING
        assert store.append([]) == 0

    @pytest.mark.parametrize(
        "changes",
        [
            {"size_bits": None},
            {"status": 7},
            {"model_version": 2**70},
            {"slot": None},
            {"slot": 2**31},
            {"place": -1},
            {"reason": object()},
        ],
        ids=lambda changes: next(iter(changes)),
    )
    def test_a_batch_with_a_wrong_record_is_refused_as_a_whole(self, store, changes):
        """What is missing or not allowed is neither stored nor passed over."""
        with pytest.raises(ModelError, match="records"):
            store.append([record(1), record(2, **changes)])
        assert store.tasks_of("run", 0) == set()
        store.append([record(1)])
        assert store.tasks_of("run", 0) == {1}

    def test_a_row_of_another_length_is_refused(self, store):
        """Even when the values of several add up."""
        row = rows([1])[0]
        with pytest.raises(ModelError, match="22 values"):
            store.append_rows([row[:-1], (*row, 0)])

    def test_nan_is_no_time(self, store, url):
        """A time that never came is NULL in the table however it was given."""
        store.append([record(1, ended_s=float("nan")), record(2, ended_s=None)])
        assert self.execute(url, "SELECT COUNT(*) FROM tasks WHERE ended_s IS NULL") == [(2,)]

    @pytest.mark.parametrize("horizon", ["drain", "stop"])
    def test_people_read_what_the_paper_logs(self, store, url, horizon):
        """The view has the paper's durations, as the log derives them, and a word for the status."""
        log = played(2, horizon)
        store.append(records_of(log))
        for name in ("transmission_wait_s", "transmission_s", "execution_wait_s", "execution_s", "delay_s"):
            found = self.execute(url, f"SELECT {name} FROM task_log ORDER BY task")
            assert np.array_equal(np.array(found, float)[:, 0], getattr(log, name), equal_nan=True), name
        for status, count in self.execute(url, "SELECT status, COUNT(*) FROM task_log GROUP BY status"):
            assert store.counts("run", 0)[status] == count
        paper = "task, slot, source, place, status, size_bits, cycles, deadline_s"
        assert len(self.execute(url, f"SELECT {paper} FROM task_log")) == len(log)

    def test_reasons_are_counted(self, store):
        """Only failures beyond luck, of the episodes asked for."""
        for episode in range(3):
            store.append(
                [record(t, episode=episode, reason=r) for t, r in enumerate(["", "nodeLost", "nodeLost", "cut"])]
            )
        assert store.reasons("run", [0, 2]) == {"nodeLost": 4, "cut": 2}
        assert store.reasons("other", [0]) == {}

    def test_finished_episodes_are_found(self, store):
        """An attempt that was not finished is played again under a new number; the first finished one counts."""
        assert [store.register("run", "collect", p, {"seed": p}) for p in (0, 1, 1)] == [0, 1, 2]
        assert store.register("other", "collect", 0, {}) == 0
        assert store.episodes("run", "collect") == {}
        store.finish("run", 0, {"created": 3})
        store.finish("run", 2, {"created": 4})
        found = store.episodes("run", "collect")
        assert {p: (row.episode, row.about, row.result) for p, row in found.items()} == {
            0: (0, {"seed": 0}, {"created": 3}),
            1: (2, {"seed": 1}, {"created": 4}),
        }
        store.finish("run", 1, {"created": 5})
        assert store.episodes("run", "collect")[1].episode == 1
        assert store.episodes("run", "evaluate") == {}

    def test_an_episode_nobody_registered_cannot_be_finished(self, store):
        with pytest.raises(ModelError, match="register it first"):
            store.finish("run", 0, {})

    def test_episodes_registered_at_once_have_numbers_of_their_own(self, url):
        """Also through stores that know nothing of each other."""
        stores = [TaskLogStore(url) for _ in range(4)]
        numbers: list[int] = []
        errors: list[Exception] = []

        def some(store):
            try:
                numbers.extend(store.register("run", "collect", p, {}) for p in range(10))
            except Exception as error:
                errors.append(error)

        threads = [threading.Thread(target=some, args=(store,)) for store in stores]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for store in stores:
            store.close()
        assert not errors
        assert sorted(numbers) == list(range(40))

    def test_a_network_is_written_once(self, store, url):
        """Nodes and links of a replicate, in place of what was there."""
        for seed in (5, 6):
            network = NETWORK.draw(seed)
            store.write_network("run", 0, network)
        store.write_network("run", 1, NETWORK.draw(7))
        n = network.nodes
        nodes = self.execute(
            url,
            "SELECT capacity_hz, cores, arrival_probability, execution_failure_rate FROM nodes"
            " WHERE replicate = 0 ORDER BY node",
        )
        wanted = (network.capacity_hz, network.cores, network.arrival_probability, network.execution_failure_rate)
        assert np.array_equal(np.array(nodes), np.stack(wanted, axis=1))
        links = self.execute(
            url,
            "SELECT sender, receiver, link_rate_bits_per_s, link_failure_rate FROM links WHERE replicate = 0",
        )
        assert len(links) == n * (n - 1)
        assert all(network.link_rate_bits_per_s[i, j] == rate for i, j, rate, _ in links)
        assert all(network.link_failure_rate[i, j] == failure for i, j, _, failure in links)

    @pytest.mark.parametrize(
        "value",
        [5e-324, 2.2250738585072014e-308, 0.1 + 0.2, 1 / 3, 1e16 + 2, 1.7976931348623155e308, 123456789.123456789],
    )
    def test_numbers_are_kept_bit_by_bit(self, store, value):
        """By both ways of reading; also where few programs print all digits."""
        store.append([record(1, size_bits=value, cycles=-value, ended_s=value, probability=value)])
        for log in (store.read("run", [0]), store.read_all("run", [0]).log):
            found = [log.size_bits[0], log.cycles[0], log.ended_s[0], log.probability[0]]
            assert found == [value, -value, value, value]

    def test_a_run_is_forgotten(self, store, url, monkeypatch):
        """All of it and nothing else, in pieces; counted before for who wants to know."""
        monkeypatch.setattr(retention, "BATCH_TASKS", 70)
        for run in ("run", "other"):
            for episode in range(3):
                assert store.register(run, "collect", episode, {}) == episode
                store.append_rows(rows(range(100), run=run, episode=episode))
            store.write_network(run, 0, NETWORK.draw(1))
        self.aged(url, 2)
        assert store.forget("run", dry_run=True) == Forgotten("run", 3, 300)
        assert len(store.read("run", range(3))) == 300
        assert store.forget("run") == Forgotten("run", 3, 300)
        assert store.forget("run") == Forgotten("run", 0, 0)
        for table in ("tasks", "episodes", "nodes", "links"):
            assert self.execute(url, f"SELECT DISTINCT run FROM {table}") == [("other",)]
        assert len(store.read("other", range(3))) == 300

    def test_a_run_that_may_be_going_on_is_not_forgotten(self, store):
        """Nor when it is gone on with in the middle of being forgotten."""
        store.register("run", "collect", 0, {})
        store.append_rows(rows(range(10)))
        for dry_run in (True, False):
            with pytest.raises(UserError, match="may still be going on"):
                store.forget("run", dry_run=dry_run)
        assert store.forget_older_than(0) == []
        assert store.tasks_of("run", 0) == set(range(10))
        assert store.forget("run", resting_s=0) == Forgotten("run", 1, 10)

    def test_a_run_that_is_gone_on_with_stays(self, store, url, monkeypatch):
        """Between two pieces, too."""
        monkeypatch.setattr(retention, "BATCH_TASKS", 4)
        store.register("run", "collect", 0, {})
        store.append_rows(rows(range(10)))
        self.aged(url, 2)
        write, other = store._database.write, TaskLogStore(url)

        def gone_on_with_after_the_first(*arguments, **more):
            monkeypatch.setattr(store._database, "write", write)
            found = write(*arguments, **more)
            other.register("run", "collect", 1, {})
            return found

        monkeypatch.setattr(store._database, "write", gone_on_with_after_the_first)
        with pytest.raises(UserError, match="may still be going on"):
            store.forget("run")
        assert store.tasks_of("run", 0) == set(range(4, 10))
        other.close()

    def test_old_runs_are_forgotten(self, store, url):
        """By the begin of their last episode, the oldest first; what was never registered has no age."""
        for run, days in (("new", 5), ("older", 9), ("oldest", 20)):
            store.register(run, "collect", 0, {})
            store.append_rows(rows(range(3), run=run))
            self.aged(url, days, run)
        store.append_rows(rows(range(3), run="unknown"))
        wanted = [Forgotten("oldest", 1, 3), Forgotten("older", 1, 3)]
        assert store.forget_older_than(7, dry_run=True) == wanted
        assert store.forget_older_than(7) == wanted
        assert store.forget_older_than(7) == []
        assert [store.tasks_of(run, 0) for run in ("new", "unknown", "older")] == [{0, 1, 2}, {0, 1, 2}, set()]

    def test_a_probe_leaves_nothing(self, store, url):
        """It says what was found."""
        assert re.search(r"(SQLite|MariaDB|MySQL).*written, read and deleted in \d+ ms", store.probe())
        assert self.execute(url, "SELECT COUNT(*) FROM tasks") == [(0,)]

    def test_opened_again_it_is_as_it_was(self, store, url):
        """The tables are made once, whoever comes first."""
        store.append([record(1)])
        number = store.register("run", "collect", 0, {})
        again = TaskLogStore(url)
        assert again.tasks_of("run", 0) == {1}
        again.finish("run", number, {})
        again.close()
        assert store.episodes("run", "collect")[0].episode == number

    def test_opened_at_once_the_tables_are_made_once(self, url):
        errors = []

        def opened():
            try:
                TaskLogStore(url).close()
            except Exception as error:
                errors.append(error)

        threads = [threading.Thread(target=opened) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not errors
        assert self.execute(url, "SELECT COUNT(*) FROM alembic_version") == [(1,)]
