"""Networks and tasks are the same whether they are drawn or read, and files that are wrong are told why."""

import json

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from edgebed.experiment.errors import UserError
from edgebed.experiment.inputs import read_inputs
from edgebed.experiment.trace import write_trace
from edgebed.experiment.validation import validate
from edgebed.systems.cooperative.randomness import Stream


@pytest.fixture
def with_files(document, tmp_path):
    """An experiment whose network and tasks are in files, made from its own distributions."""

    def build(networks=None, workload=None, **changes):
        inputs = read_inputs(validate(document))
        if networks is None:
            networks = [network.to_document() for network in inputs.networks]
        content = networks if isinstance(networks, str) else json.dumps(networks)
        (tmp_path / "network.json").write_text(content)
        document["spec"]["network"] = {"file": "network.json"}
        if workload is not None:
            workload(inputs, tmp_path / "trace.parquet")
            document["spec"]["workload"] = {"file": "trace.parquet", "slotSeconds": 0.5, "slots": 10}
        document["spec"].update(changes)
        return validate(document, folder=tmp_path)

    return build


def trace_of(episodes, luck=True, change=lambda table: table):
    def write(inputs, path):
        drawn = inputs.tasks.draw(inputs.networks[0], 7, Stream.EVALUATE, range(episodes))
        write_trace(drawn, path, luck=luck)
        pyarrow.parquet.write_table(change(pyarrow.parquet.read_table(path)), path)

    return write


def test_replicates_are_different_networks_that_follow_from_the_seed(experiment):
    first, again = read_inputs(experiment), read_inputs(experiment)
    assert np.array_equal(first.networks[0].capacity_hz, again.networks[0].capacity_hz)
    assert not np.array_equal(first.networks[0].arrival_probability, first.networks[1].arrival_probability)


def test_networks_from_a_file_are_the_given_ones(with_files, experiment):
    """Written and read back, every array is the same; the file's hash is reported."""
    inputs, drawn = read_inputs(with_files()), read_inputs(experiment)
    for given, expected in zip(inputs.networks, drawn.networks, strict=True):
        off = ~np.eye(3, dtype=bool)
        assert np.array_equal(given.capacity_hz, expected.capacity_hz)
        assert np.array_equal(given.link_rate_bits_per_s[off], expected.link_rate_bits_per_s[off])
    assert inputs.network_models[1].cores.maximum == drawn.networks[1].cores.max()
    assert len(inputs.files["network.json"]) == 64


def test_one_network_serves_all_replicates(with_files, experiment):
    inputs = read_inputs(with_files(read_inputs(experiment).networks[0].to_document()))
    assert len(inputs.networks) == 2
    assert inputs.networks[0] is inputs.networks[1]


def _network(**changes):
    square = [[1e8, 1e8], [1e8, 1e8]]
    network = {"capacityHz": [3e9, 3e9], "arrivalProbability": [0.5, 0.5], "executionFailureRate": [0.0, 0.0]}
    network |= {"linkRateBitsPerSecond": square, "linkFailureRate": [[0, 0], [0, 0]]} | changes
    return {key: value for key, value in network.items() if value is not None}


@pytest.mark.parametrize(
    ("networks", "message"),
    [
        ([_network()], "has 1 networks for 2 replicates"),
        (_network(capacityHz=[3e9, 3e9, 3e9]), "linkRateBitsPerSecond: shape (2, 2); 3 nodes need 3 rows of 3 values"),
        (_network(arrivalProbability=[0.5, 1.5]), "arrivalProbability[1]: 1.5 is not allowed"),
        (_network(arrivalProbability=[0.5]), "arrivalProbability: shape (1,)"),
        (_network(executionFailureRate=[0, -1]), "executionFailureRate[1]: -1.0 is not allowed"),
        (_network(capacityHz=["3e9", "3e9"]), "capacityHz[0]: '3e9' is not allowed; give finite numbers"),
        (_network(capacityHz=[True, True]), "capacityHz[0]: true is not allowed"),
        (_network(linkFailureRate=None), "linkFailureRate: missing"),
        (_network(linkFailureRates=[]), "linkFailureRates: "),
        ([_network(), _network(capacityHz=[0, 1])], "[1].capacityHz[0]: 0.0 is not allowed"),
        ([_network(), 3], "[1]"),
        ({**_network(), "capacityHz": [10**400, 1]}, "capacityHz[0]"),
        ('{"capacityHz": [1, NaN]}', "NaN is not allowed"),
        ('{"capacityHz": [1', "is cut off"),
        ('{"capacityHz": [1], "capacityHz": [1]}', "capacityHz: is given twice"),
        ("hello", "is not JSON"),
        (
            {"capacityHz": [1], "arrivalProbability": [1], "executionFailureRate": [0]}
            | {"linkRateBitsPerSecond": [[1]], "linkFailureRate": [[0]]},
            "capacityHz: 1 node; offloading needs at least 2 nodes",
        ),
    ],
)
def test_wrong_network_files(with_files, tmp_path, networks, message):
    """The message names the file, the entry, the key, and what would be right."""
    with pytest.raises(UserError) as error:
        read_inputs(with_files(networks))
    assert message in str(error.value)
    assert str(tmp_path / "network.json") in str(error.value)


def test_a_missing_network_file(document, tmp_path):
    document["spec"]["network"] = {"file": "nowhere.json"}
    with pytest.raises(UserError, match=r"spec\.network\.file: .*nowhere\.json: no such file"):
        read_inputs(validate(document, folder=tmp_path))


def test_a_trace_plays_what_was_recorded(with_files, experiment):
    """The last episodes evaluate, the one before is the curve's, the others are for learning; luck comes along."""
    drawn = read_inputs(experiment)
    recorded = drawn.tasks.draw(drawn.networks[0], 7, Stream.EVALUATE, range(5))
    inputs = read_inputs(with_files(workload=trace_of(5)))
    for stream, asked, expected in [
        (Stream.EVALUATE, range(2), [3, 4]),
        (Stream.CURVE, range(1), [2]),
        (Stream.COLLECT, range(4), [0, 1, 0, 1]),
    ]:
        played = inputs.tasks.draw(inputs.networks[0], 7, stream, asked)
        for row, episode in enumerate(expected):
            here = played.arrives[row]
            assert np.array_equal(here, recorded.arrives[episode])
            for name in ("size_bits", "cycles", "deadline_s", "u_transmission", "u_execution"):
                np.testing.assert_allclose(
                    getattr(played, name)[row][here], getattr(recorded, name)[episode][here], rtol=1e-15
                )


def test_luck_that_was_not_recorded_follows_from_the_seed(with_files):
    inputs = read_inputs(with_files(workload=trace_of(5, luck=False)))
    draw = [inputs.tasks.draw(inputs.networks[0], seed, Stream.EVALUATE, range(2)) for seed in (7, 7, 8)]
    assert np.array_equal(draw[0].u_execution, draw[1].u_execution)
    assert not np.array_equal(draw[0].u_execution, draw[2].u_execution)
    assert (draw[0].u_execution > 0).all()
    assert (draw[0].u_execution <= 1).all()
    assert np.array_equal(draw[0].arrives, draw[2].arrives)


def test_the_model_of_a_trace_has_its_maxima(with_files):
    inputs = read_inputs(with_files(workload=trace_of(5)))
    assert inputs.workload_model.size_bits.maximum == inputs.tasks.columns["sizeBits"].max()


def put(name, value):
    def change(table):
        column = table.column(name).to_pylist()
        column[2] = value
        return table.set_column(table.column_names.index(name), name, pyarrow.array(column))

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop_columns(["sizeBits"]), "sizeBits: this column is missing"),
        (
            lambda t: t.rename_columns(["episode", "slot", "node", "sizeBit", *t.column_names[4:]]),
            "sizeBit: this column is unknown; did you mean sizeBits?",
        ),
        (lambda t: t.slice(0, 0), "has no tasks"),
        (put("slot", 10), "slot[2]: 10 is not allowed; give a finite number of at least 0 and at most 9"),
        (put("node", -1), "node[2]: -1 is not allowed"),
        (put("node", 3), "node: names node 3; the network has nodes 0 to 2"),
        (put("sizeBits", 0.0), "sizeBits[2]: 0.0 is not allowed; give a finite number over 0"),
        (put("cyclesPerBit", float("nan")), "cyclesPerBit[2]: nan is not allowed"),
        (put("deadlineSeconds", None), "deadlineSeconds: 1 values are missing"),
        (put("uExecution", 1.5), "uExecution[2]: 1.5 is not allowed"),
        (lambda t: t.set_column(1, "slot", t.column("slot").cast(pyarrow.float64())), "slot: holds double; give whole"),
        (lambda t: t.set_column(3, "sizeBits", t.column("sizeBits").cast(pyarrow.string())), "sizeBits: holds string"),
        (lambda t: pyarrow.concat_tables([t, t.slice(0, 1)]), "a node receives at most one task in a slot"),
        (lambda t: t.filter(pyarrow.compute.less(t["episode"], 2)), "has 2 episodes, and 4 are needed"),
    ],
)
def test_wrong_traces(with_files, tmp_path, change, message):
    """Missing columns, wrong kinds and impossible values are named with column and row."""
    with pytest.raises(UserError) as error:
        read_inputs(with_files(workload=trace_of(5, change=change)))
    assert message in str(error.value)
    assert str(tmp_path / "trace.parquet") in str(error.value)


def test_a_trace_that_is_cut_off(with_files, tmp_path):
    experiment = with_files(workload=trace_of(5))
    content = (tmp_path / "trace.parquet").read_bytes()
    (tmp_path / "trace.parquet").write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match="is not a whole Parquet file"):
        read_inputs(experiment)
