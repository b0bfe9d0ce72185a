"""A specification says what it means, survives the way through YAML, and refuses what cannot be."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebed.experiment.errors import UserError
from edgebed.experiment.reading import load, to_yaml
from edgebed.experiment.reference import page
from edgebed.experiment.specification import schema
from edgebed.experiment.sweep import expand, label, position, replacing
from edgebed.experiment.validation import check_backend, validate
from edgebed.systems.cooperative.distributions import Choice, Constant, Uniform
from edgebed.systems.cooperative.rules import DropPolicy, Rules

POLICIES = ("random", "local", "ratc", "rda", "least-completion", "price-mask")
MISSING = object()


def changed(document: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """The document with another value at a dotted path; list positions are numbers; MISSING removes."""
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    here: Any = document
    for parent in parents:
        here = here[parent] if isinstance(parent, int) else here.setdefault(parent, {})
    if value is MISSING:
        del here[last]
    else:
        here[last] = value
    return document


def test_units_become_those_of_the_system(experiment):
    """KB are 1024 bytes, MB/s 10^6 bytes per second, GHz 10^9 cycles."""
    network, workload = experiment.network_model(), experiment.workload_model()
    assert network.core_frequency_hz == 3e9
    assert network.link_rate_bits_per_s == Uniform(80e6, 320e6)
    assert network.cores == Choice((4, 8))
    assert workload.size_bits == Uniform(1000 * 8192, 8000 * 8192)
    assert workload.deadline_s == Constant(4)
    assert (workload.slot_s, workload.slots) == (0.5, 10)
    assert experiment.rules() == Rules()


def test_rules_are_passed_on(document):
    document["spec"]["rules"] = {"dropPolicy": "never", "failureUnit": "slot"}
    assert validate(document).rules().drop_policy is DropPolicy.NEVER


def test_defaults_of_the_algorithms_are_the_papers(experiment):
    """Section V.A: Adam 3e-4, discount 0.99, target 0.0005, temperature 0.05, conservatism 0.1, GAE 0.95, clip 0.2."""
    offline, online = experiment.spec.methods[1].offline.settings(), experiment.spec.methods[1].online.settings()
    expected = {"learning_rate": 3e-4, "discount": 0.99, "target_update": 0.0005, "temperature": 0.05}
    assert expected.items() <= offline.items()
    assert offline["conservatism"] == 0.1
    assert offline["hidden"] == 64
    assert offline["batch_slots"] == 128
    assert {"gae_lambda": 0.95, "clip": 0.2, "epochs": 4, "learning_rate": 3e-4}.items() <= online.items()


def test_online_takes_the_layers_of_offline(document):
    document["spec"]["methods"][1]["offline"]["hidden"] = 32
    assert validate(document).spec.methods[1].online.hidden == 32


def test_policies_have_parameters(document):
    document["spec"]["methods"][0]["policy"] = {"kind": "rda", "coefficient": 0.5}
    policy = validate(document).spec.methods[0].policy
    assert (policy.kind, policy.parameters) == ("rda", {"coefficient": 0.5})


def test_yaml_round_trip(document, write):
    """What is written is what was read, and the digest with it."""
    document["spec"]["sweep"] = {"field": "network.nodes", "values": [2, 4]}
    first = load(write(document), POLICIES)
    second = load(write(to_yaml(first)), POLICIES)
    assert second == first
    assert second.digest == first.digest


def test_digest_ignores_spelling_but_not_meaning(document):
    same = json.loads(json.dumps(document))
    same["spec"]["backend"] = "simulator"
    same["spec"]["workload"]["deadlineSeconds"] = 4.0
    other = changed(json.loads(json.dumps(document)), "spec.seed", 8)
    assert validate(same).digest == validate(document).digest != validate(other).digest


def test_numbers_as_yaml_1_2_writes_them(document, write):
    """`3e-4` is a number; PyYAML alone would take it for text."""
    text = to_yaml(validate(document)).replace("learningRate: 0.0003", "learningRate: 3e-4")
    assert "3e-4" in text
    assert load(write(text)).spec.methods[1].offline.learning_rate == 3e-4


def test_names_that_yaml_1_1_would_change(document, write):
    text = to_yaml(validate(document)).replace("name: ratc", "name: no")
    assert load(write(text)).spec.methods[0].name == "no"


BAD = [
    ("spec.netwrk", {}, "spec.netwrk: is unknown; did you mean network?"),
    ("spec.network.node", 3, "spec.network.node: is unknown; did you mean nodes?"),
    ("spec.workload.sizeMB", 3, "spec.workload.sizeMB: is unknown; did you mean sizeKB?"),
    ("spec.methods.1.offline.updatez", 3, "spec.methods[1].offline.updatez: is unknown; did you mean updates"),
    ("apiVersion", MISSING, "apiVersion: is missing"),
    ("spec.network.nodes", MISSING, "spec.network.nodes: is missing"),
    ("spec.methods", MISSING, "spec.methods: is missing"),
    ("spec.methods", [], "spec.methods: [] is not allowed; give at least one"),
    ("spec.network.nodes", 0, "spec.network.nodes: 0 is not allowed; give a number of at least 2"),
    ("spec.network.nodes", 1, "spec.network.nodes: 1 is not allowed; give a number of at least 2"),
    ("spec.network.nodes", -3, "spec.network.nodes: -3 is not allowed"),
    ("spec.network.nodes", 2.5, "spec.network.nodes: 2.5 is not allowed; give a whole number"),
    ("spec.network.nodes", "20", "spec.network.nodes: '20' is not allowed; give a whole number, without quotes"),
    ("spec.network.nodes", True, "spec.network.nodes: true is not allowed"),
    ("spec.network.nodes", None, "spec.network.nodes: null is not allowed"),
    ("spec.network.cores", {"choice": []}, "spec.network.cores.choice: is empty; give at least one value"),
    ("spec.network.cores", {"choice": [4, 0]}, "spec.network.cores.choice[1]: 0 is not allowed; give a number over 0"),
    ("spec.network.cores", {"uniform": [1]}, "spec.network.cores.uniform: [1] is not allowed; give two numbers"),
    ("spec.network.cores", {"uniform": [8, 4]}, "give the lower end first"),
    ("spec.network.cores", {"unifrom": [4, 8]}, "spec.network.cores.unifrom: is unknown; did you mean uniform?"),
    ("spec.network.cores", {"uniform": [4, 8], "choice": [4]}, "give either uniform or choice"),
    ("spec.network.cores", "4", "spec.network.cores: '4' is not allowed; give a number over 0 or {uniform"),
    ("spec.network.cores", True, "spec.network.cores: true is not allowed"),
    ("spec.network.cores", 10**400, "is not allowed; give a number over 0"),
    (
        "spec.network.arrivalProbability",
        1.2,
        "spec.network.arrivalProbability: 1.2 is not allowed; give a number from 0 to 1",
    ),
    ("spec.network.arrivalProbability", {"uniform": [0, 1.5]}, "arrivalProbability.uniform[1]: 1.5 is not allowed"),
    (
        "spec.network.executionFailureRate",
        -0.1,
        "executionFailureRate: -0.1 is not allowed; give a number of at least 0",
    ),
    ("spec.network.linkFailureRate", {"choice": [0, -1]}, "linkFailureRate.choice[1]: -1 is not allowed"),
    ("spec.network.linkRateMBps", 0, "spec.network.linkRateMBps: 0 is not allowed; give a number over 0"),
    ("spec.network.linkRateMBps", float("nan"), "spec.network.linkRateMBps: nan is not allowed"),
    ("spec.network.coreFrequencyGHz", float("inf"), "spec.network.coreFrequencyGHz: inf is not allowed; give a finite"),
    ("spec.workload.sizeKB", {"uniform": [0, 5]}, "spec.workload.sizeKB.uniform[0]: 0 is not allowed"),
    ("spec.workload.slotSeconds", 0, "spec.workload.slotSeconds: 0 is not allowed; give a number over 0"),
    ("spec.rules", {"dropPolicy": "estimateAtExec"}, "did you mean estimateAtExecution or estimateAtBoth?"),
    ("spec.backend", "kubernets", "spec.backend: 'kubernets' is not allowed; did you mean kubernetes?"),
    ("spec.reward", {"attribution": "pertask"}, "did you mean perTask?"),
    ("spec.mask", {"coefficient": 0}, "spec.mask.coefficient: 0 is not allowed; give a number over 0"),
    ("spec.network", [], "spec.network: [] is not allowed; give a mapping"),
    ("spec.methods.0", {"name": "a"}, "spec.methods[0]: has neither a policy nor a way to learn one"),
    ("spec.methods.1.policy", "ratc", "spec.methods[1].collect: is not allowed beside policy"),
    ("spec.methods.1.collect", MISSING, "spec.methods[1].collect: is missing; offline needs"),
    ("spec.methods.1.offline", MISSING, "spec.methods[1].collect: is not used; give offline too"),
    ("spec.methods.1.offline.hidden", [64, 64], "offline.hidden: [64, 64] is not allowed; give a whole number"),
    ("spec.methods.1.online.hidden", 8, "spec.methods[1].online.hidden: 8 differs from offline.hidden"),
    ("spec.methods.1.offline.algorithm", "sac", "spec.methods[1].offline.algorithm: 'sac' is not allowed"),
    ("spec.methods.1.name", "ratc", "spec.methods[1].name: 'ratc' is already the name of methods[0]"),
    ("spec.methods.0.policy", "rtac", "spec.methods[0].policy: 'rtac' is not an installed policy; did you mean ratc?"),
    ("spec.methods.0.policy", 3, "spec.methods[0].policy: 3 is not allowed; give the name of a policy"),
    ("metadata.name", "Not A Name", "metadata.name: 'Not A Name' is not allowed; give lower-case letters"),
    ("metadata.name", "a" * 64, "metadata.name"),
    ("kind", "Experimnt", "kind: 'Experimnt' is not allowed; did you mean Experiment?"),
    ("spec.sweep", {"field": "network.node", "values": [3]}, "spec.sweep.field: 'network.node' is not a field"),
    ("spec.sweep", {"field": "methods", "values": [3]}, "spec.sweep.field: 'methods' cannot be swept"),
    ("spec.sweep", {"field": "network.nodes", "values": [3, 1]}, "spec.sweep.values[1]: 1 is not allowed"),
    ("spec.sweep", {"field": "network.nodes", "values": [3, 3]}, "spec.sweep.values[1]: 3 is given twice"),
    ("spec.sweep", {"field": "network.nodes", "values": []}, "spec.sweep.values: [] is not allowed"),
    (
        "spec.sweep",
        {"field": "workload.sizeKB", "values": [{"uniform": [1, -1]}]},
        "spec.sweep.values[0].uniform[1]: -1 is not allowed",
    ),
]


def shown(value):
    """The same in every process, as tests that are shared out have to be called."""
    return "MISSING" if value is MISSING else f"{value!r:.30}"


@pytest.mark.parametrize(("path", "value", "message"), BAD, ids=[f"{p}={shown(v)}" for p, v, _ in BAD])
def test_bad_values_name_field_value_and_remedy(document, path, value, message):
    """Every mistake is refused with exit code 2 and a line that says where, what and what instead."""
    with pytest.raises(UserError) as error:
        expand(validate(changed(document, path, value), policies=POLICIES), POLICIES)
    assert message in str(error.value)
    assert error.value.exit_code == 2


def test_all_problems_of_a_file_are_told_together_with_their_lines(document, write):
    changed(document, "spec.network.nodes", 1)
    changed(document, "spec.workload.slots", "ten")
    changed(document, "spec.rules", {"horizont": "drain"})
    path = write(document)
    with pytest.raises(UserError) as error:
        load(path, POLICIES)
    lines = str(error.value).splitlines()
    assert len(lines) == 3
    text = path.read_text().splitlines()
    for line in lines:
        number = int(line.removeprefix(f"{path}:").split(":")[0])
        assert any(word in text[number - 1] for word in ("nodes: 1", "slots: ten", "horizont: drain")), line


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("spec: {a: [1", "not valid YAML"),
        ("spec:\n\tnodes: 3\n", "not valid YAML"),
        ("", "the file is empty"),
        ("a: 1\na: 2\n", "a: is given twice, first in line 1"),
        ("spec: {seed: .nan}", "spec.seed: .nan is not allowed; give a finite number"),
        ("spec: {seed: 1e999}", "spec.seed: 1e999 is not allowed"),
        ("spec: !!python/object:os.system {}", "spec"),
        ("seed: !!int 3", "seed: has the tag"),
        ("- 1\n", "give a mapping"),
        ("a: &a [*a]\n", "nested too deeply"),
        ("? [1, 2]\n: 3\n", "has a key that is not a name"),
        ("a: 1\n---\nb: 2\n", "not valid YAML"),
    ],
)
def test_files_that_are_not_experiments(text, message, write):
    with pytest.raises(UserError) as error:
        load(write(text))
    assert message in str(error.value)


def test_a_bomb_of_aliases_is_refused_quickly(write):
    levels = "\n".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12))
    with pytest.raises(UserError, match="too large"):
        load(write(f"a0: &a0 [1]\n{levels}\n"))


def test_files_that_are_not_there(tmp_path, write, document):
    write(document)
    with pytest.raises(UserError, match=r"no such file; did you mean experiment\.yaml"):
        load(tmp_path / "experimnt.yaml")
    with pytest.raises(UserError, match="is a folder"):
        load(tmp_path)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(UserError, match="is not text"):
        load(tmp_path / "binary.yaml")


def test_a_sweep_is_one_experiment_per_value(document):
    document["spec"]["sweep"] = {"field": "workload.sizeKB", "values": [{"uniform": [1000, 5000]}, 3000]}
    steps = expand(validate(document))
    assert [name for name, _ in steps] == ["1000 to 5000", "3000"]
    assert [step.spec.workload.size_kb for _, step in steps] == [Uniform(1000, 5000), Constant(3000)]
    assert all(step.spec.sweep is None for _, step in steps)
    assert steps[1][1] == replacing(replacing(validate(document), "sweep", None), "workload.sizeKB", 3000)


def test_without_a_sweep_the_experiment_is_its_only_step(experiment):
    assert expand(experiment) == [("", experiment)]


def test_labels_and_positions_of_swept_values():
    assert label({"choice": [4, 8]}) == "4, 8"
    assert position({"choice": [4, 8]}) == 8
    assert label(True) == "true"
    assert position(True) is None
    assert label("never") == "never"
    assert position("never") is None
    assert position({"uniform": [0, 0.6]}) == 0.6


def test_a_centralised_policy_needs_the_simulator(document):
    document["spec"]["methods"] = [
        {"name": "best", "policy": "least-completion"},
        {"name": "plain", "policy": "ratc"},
        {
            "name": "copy",
            "collect": {"policy": "least-completion", "episodes": 2},
            "offline": {"algorithm": "sac-cql", "updates": 1},
        },
    ]
    check_backend(validate(document))  # the simulator plays all of them
    with pytest.raises(UserError) as caught:
        check_backend(validate(document | {"spec": document["spec"] | {"backend": "processes"}}))
    paths = [problem.path for problem in caught.value.problems]
    assert paths == ["spec.methods[0].policy", "spec.methods[2].collect.policy"]
    assert "'best'" in str(caught.value)
    assert "--backend simulator" in str(caught.value)


def test_the_schema_describes_the_document(document):
    """The generated schema is closed, names units' limits, and knows every field of the document."""
    definitions = schema()["$defs"]
    assert definitions["Spec"]["additionalProperties"] is False
    assert definitions["DrawnNetwork"]["properties"]["arrivalProbability"]["anyOf"][0]["maximum"] == 1
    assert set(document["spec"]) <= set(definitions["Spec"]["properties"])
    assert all("description" in field for field in definitions["Online"]["properties"].values())


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
PATHS = ["spec", "metadata", "spec.network", "spec.network.cores", "spec.methods", "spec.methods.0", "spec.sweep"]
PATHS += ["spec.methods.1.offline", "spec.workload", "spec.workload.sizeKB", "spec.rules", "spec.mask.coefficient"]


@given(path=st.sampled_from(PATHS), value=json_values)
def test_whatever_is_written_the_answer_is_an_experiment_or_an_explanation(small, path, value):
    """No document makes validation end in anything but an experiment or a UserError with a path."""
    document = changed(json.loads(json.dumps(small)), path, value)
    try:
        expand(validate(document, policies=POLICIES), POLICIES)
    except UserError as error:
        problems = error.problems
    else:
        return
    assert all(problem.found for problem in problems)


def test_the_reference_page_is_current():
    """docs/specification.md is what `python -m edgebed.experiment.reference docs/specification.md` writes."""
    path = Path(__file__).parents[3] / "docs" / "specification.md"
    assert path.read_text(encoding="utf-8") == page()


def test_the_reference_page_names_every_field(document):
    text = page()
    for words in ("sizeKB", "linkRateMBps", "gaeLambda", "dropPolicy", "cycles/bit", "whole number, ≥ 2 and ≤ 1 000"):
        assert words in text
