"""The spool keeps what it was given, in order, whatever happens to the process; what is damaged is set aside."""

import hashlib
import io
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebed.experiment.errors import EnvironmentFault
from edgebed.stores.log_schema import COLUMNS, tasks
from edgebed.stores.spool import Spool, decode, encode
from tests.stores.kill import killed_at_every_step
from tests.stores.records import rows

BATCHES, ROWS = 4, 3


@pytest.fixture
def spool(tmp_path):
    spool = Spool(tmp_path)
    yield spool
    spool.close()


def batch(number):
    return rows(range(number * ROWS, (number + 1) * ROWS))


def drained(folder):
    """Everything in a spool, as another process would find it."""
    spool = Spool(folder)
    found = []
    while (some := spool.oldest()) is not None:
        found.extend(some)
        spool.drop()
    assert spool.rows == 0
    spool.close()
    return found


def value(name):
    """Any value of a column."""
    column = tasks.c[name]
    kinds = {
        int: st.integers(-(2**63), 2**63 - 1),
        float: st.floats(allow_nan=False),
        str: st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    }
    kind = kinds[column.type.python_type]
    return st.none() | kind if column.nullable else kind


@given(st.lists(st.tuples(*(value(name) for name in COLUMNS)), min_size=1, max_size=20))
def test_rows_come_back(given_rows):
    """Every value bit by bit, of the type that it had: also the longest integers, zeros with a sign, and empty texts."""
    found = decode(encode(given_rows))
    assert found == given_rows
    for one, other in zip(found, given_rows, strict=True):
        assert [type(v) for v in one] == [type(v) for v in other]
        assert [math.copysign(1, v) for v in one if isinstance(v, float)] == [
            math.copysign(1, v) for v in other if isinstance(v, float)
        ]


def test_a_row_takes_little_room():
    """Names are kept once: a row costs about what its numbers do."""
    assert len(encode(rows(range(5000), run="a-run-with-a-long-name" * 8))) / 5000 < 8 * len(COLUMNS)


@pytest.mark.parametrize("wrong", [(), (1, 2), ("x",) * len(COLUMNS)], ids=["empty", "short", "texts"])
def test_what_is_no_row_is_refused(wrong):
    with pytest.raises((ValueError, TypeError)):
        encode([*rows([1]), wrong])


def test_first_in_first_out(spool, tmp_path):
    """Batches come in their order, each until it is dropped, also after the process ended."""
    for number in range(12):
        spool.write(batch(number))
    assert spool.rows == 12 * ROWS
    assert spool.oldest() == spool.oldest() == batch(0)
    spool.drop()
    assert spool.oldest() == batch(1)
    spool.close()
    again = Spool(tmp_path)
    again.write(batch(12))
    again.close()
    assert drained(tmp_path) == [row for number in range(1, 13) for row in batch(number)]
    spool.__init__(tmp_path)  # for the fixture to close


def test_a_folder_has_one_owner(spool, tmp_path):
    """Two writers would send each other's rows; the second is told so, and may come when the first has gone."""
    with pytest.raises(EnvironmentFault, match="in use by another process; end it, or set EDGEBED_SPOOL"):
        Spool(tmp_path)
    spool.close()
    spool.__init__(tmp_path)


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(EnvironmentFault, match=r"file.* cannot be written \(Not a directory\).*set EDGEBED_SPOOL"):
        Spool(tmp_path / "file" / "spool")


def change(content):
    """One bit in the middle."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize(
    "damage", [change, lambda content: content[:100], lambda _: b"", lambda _: encode(batch(9))],
    ids=["bit", "cut", "empty", "other"],
)  # fmt: skip
def test_a_damaged_file_is_set_aside(spool, tmp_path, damage, caplog):
    """It is kept under a name that says so, told in the log, and those behind it go on."""
    for number in range(3):
        spool.write(batch(number))
    path = sorted(tmp_path.glob("*.npz"))[0]
    path.write_bytes(damage(path.read_bytes()))
    assert spool.oldest() == batch(1)
    assert spool.rows == 2 * ROWS
    assert [p.name for p in tmp_path.glob("*.damaged")] == [f"{path.name}.damaged"]
    assert path.name in caplog.text


def test_a_file_of_another_version_is_set_aside(spool, tmp_path):
    """Columns that this version does not know are not thrown away."""
    spool.write(batch(0))
    spool.write(batch(1))
    path = sorted(tmp_path.glob("*.npz"))[0]
    with np.load(path) as archive:
        columns = dict(archive)
    path.unlink()
    buffer = io.BytesIO()
    np.savez(buffer, **columns, energy_j=np.zeros(ROWS))
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()[:16]
    spool.close()
    (tmp_path / f"{1:012d}-{ROWS}-{digest}.npz").write_bytes(buffer.getvalue())
    spool.__init__(tmp_path)
    assert spool.oldest() == batch(1)
    assert len(list(tmp_path.glob("*.damaged"))) == 1


def fill(folder, arm):
    arm()
    spool = Spool(folder)
    for number in range(BATCHES):
        spool.write(batch(number))
    spool.close()


def move(folder, arm):
    """The batches of one spool to another, as to a database."""
    fill(folder / "from", lambda: None)
    other = Spool(folder / "to")
    arm()
    spool = Spool(folder / "from")
    while (some := spool.oldest()) is not None:
        other.write(some)
        spool.drop()


def test_killed_while_it_writes(tmp_path):
    """At whatever instant: there are the first so many batches, whole, and a new process goes on with them."""
    seen = set()
    for count in range(1, killed_at_every_step(fill, tmp_path) + 1):
        folder = tmp_path / str(count)
        found = drained(folder)
        whole = len(found) // ROWS
        assert found == [row for number in range(whole) for row in batch(number)]
        assert [p.name for p in folder.iterdir()] == ["lock"], "nothing is left of what was not whole"
        seen.add(whole)
    assert seen == set(range(BATCHES + 1))


def test_killed_while_it_replays(tmp_path):
    """At whatever instant: no batch is lost; one may come twice, which the database bears."""
    left = set()
    for count in range(1, killed_at_every_step(move, tmp_path) + 1):
        there, here = drained(tmp_path / str(count) / "to"), drained(tmp_path / str(count) / "from")
        assert sorted({*there, *here}) == [row for number in range(BATCHES) for row in batch(number)]
        assert len(there) + len(here) <= (BATCHES + 1) * ROWS
        left.add(len(here) // ROWS)
    assert left == set(range(BATCHES + 1))
