"""The numbers of a report follow from the outcomes as they are defined, and say how sure they are."""

import dataclasses
import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from edgebed.experiment import intervals
from edgebed.experiment.outcome import CurvePoint, EpisodeCounts, Outcome
from edgebed.experiment.results import build_results
from edgebed.experiment.specification import Experiment
from edgebed.experiment.statistics import dip, summarise
from edgebed.experiment.sweep import replacing
from edgebed.experiment.validation import validate
from edgebed.systems.cooperative.rules import Horizon
from tests.unit.experiment.outcomes import outcomes

Document = dict[str, Any]


def episode(succeeded: int, dropped: int = 0, failed: int = 0, unfinished: int = 0) -> EpisodeCounts:
    return EpisodeCounts(succeeded, dropped, failed, unfinished, 0, 0, 1.0 if succeeded else None)


def outcome(*rates: float) -> Outcome:
    """Episodes of 1000 tasks at the given rates."""
    return Outcome(tuple(episode(round(1000 * r), 1000 - round(1000 * r)) for r in rates), {"p50": 1.0})


@pytest.mark.parametrize(
    ("horizon", "rate"), [(Horizon.DRAIN, 0.5), (Horizon.CUT_DROP, 0.5), (Horizon.CUT_IGNORE, 0.625)]
)
def test_success_rate_by_horizon(horizon: Horizon, rate: float) -> None:
    """Eq. 9: what the horizon cut off is dropped, or under cutIgnore not counted."""
    assert episode(5, 2, 1, 2).success_rate(horizon) == rate


def test_an_episode_without_tasks_has_no_rate() -> None:
    assert math.isnan(episode(0).success_rate(Horizon.DRAIN))
    assert math.isnan(episode(0, unfinished=3).success_rate(Horizon.CUT_IGNORE))


def test_outcomes_survive_json() -> None:
    """NaN included: a curve's episode may have no task."""
    measured = Outcome((episode(3, 1),), {"p50": 0.5}, (CurvePoint(0, (0.5, math.nan)), CurvePoint(8, (0.6, 0.7))))
    again = Outcome.from_document(json.loads(json.dumps(measured.to_document(), allow_nan=False)))
    assert again.episodes == measured.episodes
    assert again.curve[1] == measured.curve[1]
    assert again.curve[0].success_rates[0] == 0.5
    assert math.isnan(again.curve[0].success_rates[1])


def two_policies(document: Document, replicates: int = 2, **spec: Any) -> Experiment:
    document["spec"] |= {
        "methods": [{"name": n, "policy": n} for n in ("ratc", "rda")],
        "replicates": replicates,
        **spec,
    }
    return validate(document)


def test_means_and_intervals_by_hand(document: Document) -> None:
    """Two networks: the interval over runs has one degree of freedom, 12.706 standard errors."""
    experiment = two_policies(document)
    found = {("ratc", 0, 0): outcome(0.8, 0.9), ("ratc", 1, 0): outcome(0.6, 0.7)}
    found |= {("rda", 0, 0): outcome(0.7, 0.7), ("rda", 1, 0): outcome(0.6, 0.5)}
    results = summarise(experiment, found)
    rate = results["methods"]["ratc"]["successRate"]
    assert rate["mean"] == pytest.approx(0.75)
    assert rate["perReplicate"] == pytest.approx([0.85, 0.65])
    assert rate["std"] == pytest.approx(0.2 / math.sqrt(2))
    half = stats.t.ppf(0.975, 1) * 0.1
    assert rate["ci95"] == pytest.approx([0.75 - half, 0.75 + half])
    assert rate["ci95Over"] == "runs"
    assert rate["perEpisode"] == [[[0.8, 0.9]], [[0.6, 0.7]]]
    (difference,) = results["differences"]
    assert (difference["method"], difference["against"]) == ("rda", "ratc")
    assert difference["mean"] == pytest.approx(-0.125)
    assert difference["perReplicate"] == pytest.approx([-0.15, -0.1])
    assert (difference["wins"], difference["replicates"]) == (0, 2)
    # Differences by episode: -0.1, -0.2 on one network, 0, -0.2 on the other; each mean has its standard error.
    error = math.sqrt((0.05**2 + 0.1**2) / 4)
    freedom = (0.05**2 + 0.1**2) ** 2 / (0.05**4 + 0.1**4)
    half = stats.t.ppf(0.975, freedom) * error
    assert difference["ci95"] == pytest.approx([-0.125 - half, -0.125 + half])


def test_one_run_has_an_interval_over_episodes(document: Document) -> None:
    experiment = two_policies(document, replicates=1)
    found = {(name, 0, 0): outcome(0.8, 0.9, 0.7) for name in ("ratc", "rda")}
    rate = summarise(experiment, found)["methods"]["ratc"]["successRate"]
    expected = stats.t.interval(0.95, 2, 0.8, 0.1 / math.sqrt(3))
    assert rate["ci95Over"] == "episodes"
    assert rate["ci95"] == pytest.approx(expected)


def test_one_episode_has_no_interval(document: Document) -> None:
    experiment = two_policies(document, replicates=1)
    results = summarise(experiment, {("ratc", 0, 0): outcome(0.8), ("rda", 0, 0): outcome(0.7)})
    assert results["methods"]["ratc"]["successRate"]["ci95"] is None
    assert results["methods"]["ratc"]["successRate"]["std"] is None
    assert results["differences"][0]["ci95"] is None


def test_shared_luck_cancels_in_differences(experiment: Experiment) -> None:
    """Episodes that are hard for all make single rates uncertain, but not the paired difference."""
    results = summarise(
        replacing(experiment, "evaluation.episodes", 40), outcomes(replacing(experiment, "evaluation.episodes", 40))
    )
    (difference,) = results["differences"]
    low, high = difference["ci95"]
    single = results["methods"]["ratc"]["successRate"]["ci95SameNetworks"]
    assert high - low < 0.5 * (single[1] - single[0])


def test_training_seeds_widen_the_interval(document: Document) -> None:
    """A method whose seeds disagree is less sure than one whose seeds agree, at the same rates per episode."""
    document["spec"] |= {"replicates": 1, "trainingSeeds": 3}
    experiment = validate(document)
    flat = {("ratc", 0, 0): outcome(*[0.8, 0.82] * 10)}
    agree = {("o2o", 0, s): outcome(*[0.84, 0.86] * 10) for s in range(3)}
    differ = {("o2o", 0, s): outcome(*[0.84 + d, 0.86 + d] * 10) for s, d in enumerate((-0.03, 0, 0.03))}
    widths = []
    for tuned in (agree, differ):
        low, high = summarise(experiment, flat | tuned)["differences"][0]["ci95"]
        widths.append(high - low)
    assert widths[1] > 10 * widths[0]


def test_interquartile_mean_ignores_extremes() -> None:
    assert intervals.interquartile_mean(np.array([0.0, 0.5, 0.5, 0.6, 0.6, 0.6, 0.7, 5.0])) == pytest.approx(0.575)


@given(arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(1, 6)), elements=st.floats(0, 1)))
@example(np.array([[[2e-128, 0.0]]]))
def test_intervals_hold_their_mean(rates: np.ndarray) -> None:
    """Whatever the shape, the interval is around the mean, and adding a constant moves both alike."""
    found = intervals.on_these_networks(rates)
    assert found.mean == pytest.approx(rates.mean())
    if found.low is not None and found.high is not None:
        assert found.low <= found.mean <= found.high
        moved = intervals.on_these_networks(rates + 0.5)
        assert moved.low == pytest.approx(found.low + 0.5, abs=1e-6)


def test_the_interval_covers_as_often_as_it_says() -> None:
    """95 % of the intervals on these networks hold the true mean of these networks (2000 samples, seed 1)."""
    rng = np.random.default_rng(1)
    networks = rng.normal(0.8, 0.05, 3)
    inside = 0
    for _ in range(2000):
        found = intervals.on_these_networks(networks[:, None, None] + rng.normal(0, 0.02, (3, 1, 8)))
        assert found.low is not None
        assert found.high is not None
        inside += found.low <= networks.mean() <= found.high
    assert 0.935 < inside / 2000 < 0.965


def points(*means: float) -> list[Document]:
    return [{"onlineEpisodes": 10 * i, "mean": m, "perReplicate": [m]} for i, m in enumerate(means)]


@pytest.mark.parametrize(
    ("means", "fallen", "at"),
    [
        ((0.8, 0.81, 0.82, 0.83, 0.84), 0.0, 10),
        ((0.8, 0.79, 0.82, 0.83, 0.84), 1.0, 10),
        ((0.8, 0.81, 0.82, 0.83, 0.5), 0.0, 10),  # the end is not the start
        ((0.8, 0.795, 0.78, 0.83, 0.84, 0.84, 0.84, 0.84, 0.84), 2.0, 20),
    ],
)
def test_the_dip_is_the_fall_in_the_first_quarter(means: tuple[float, ...], fallen: float, at: int) -> None:
    found = dip(points(*means))
    assert found["points"] == pytest.approx(fallen)
    assert found["atOnlineEpisodes"] == at


def test_shares_add_up_and_unfinished_stay_apart(document: Document) -> None:
    experiment = two_policies(document, replicates=1)
    one = Outcome((EpisodeCounts(6, 2, 1, 1, 5, 20, 0.5), EpisodeCounts(4, 4, 2, 0, 5, 20, 1.0)), {"p50": 0.6})
    method = summarise(experiment, {("ratc", 0, 0): one, ("rda", 0, 0): one})["methods"]["ratc"]
    assert method["shares"] == pytest.approx({"succeeded": 0.5, "dropped": 0.3, "failed": 0.15, "unfinished": 0.05})
    assert method["offloadedShare"] == 0.5
    assert method["messagesPerTask"] == 2
    assert method["delaySeconds"] == pytest.approx({"mean": 0.7, "p50": 0.6})


def test_nothing_succeeded_and_nothing_arrived(document: Document) -> None:
    """The results are still JSON: unknown numbers are null."""
    experiment = two_policies(document, replicates=1)
    found = {
        ("ratc", 0, 0): Outcome((episode(0), episode(0)), {}),
        ("rda", 0, 0): Outcome((episode(0, 5), episode(0)), {}),
    }
    results = build_results(experiment, [found], versions={}, files={})
    json.dumps(results, allow_nan=False)
    assert results["methods"]["ratc"]["successRate"]["mean"] is None
    assert results["methods"]["rda"]["successRate"]["mean"] == 0


def test_missing_outcomes_are_noticed(experiment: Experiment) -> None:
    found = outcomes(experiment)
    del found["o2o", 1, 0]
    with pytest.raises(ValueError, match="no outcome of o2o for replicate and training seed"):
        summarise(experiment, found)


def test_methods_measured_on_different_episodes_are_not_compared(experiment: Experiment) -> None:
    found = {
        key: dataclasses.replace(o, episodes=o.episodes[:1]) if key[0] == "o2o" else o
        for key, o in outcomes(experiment).items()
    }
    with pytest.raises(ValueError, match="different numbers of episodes"):
        summarise(experiment, found)


def verdict(document: Document, levels: dict[str, float], **spec: Any) -> list[str]:
    document["spec"] |= {"evaluation": {"episodes": 30}, **spec}
    experiment = validate(document)
    sentences: list[str] = build_results(experiment, [outcomes(experiment, levels=levels)], versions={}, files={})[
        "verdict"
    ]
    return sentences


def test_the_verdict_claims_what_is_clear(document: Document) -> None:
    first, *others = verdict(document, {"ratc": 0.8, "o2o": 0.85})
    assert first.startswith("o2o beats ratc by")
    assert first.endswith("It wins on 2 of 2 networks.")
    assert any(sentence.startswith("Fine-tuning of o2o begins") for sentence in others)


def test_the_verdict_is_honest_when_the_heuristic_wins(document: Document) -> None:
    assert verdict(document, {"ratc": 0.85, "o2o": 0.8})[0].startswith("ratc beats o2o by")


def test_the_verdict_does_not_claim_what_is_unclear(document: Document) -> None:
    """Equal methods are called equal, but for the one time in twenty that a 95 % interval is wrong."""
    first = [verdict(document, {"ratc": 0.8, "o2o": 0.8}, seed=seed)[0] for seed in range(20)]
    equal = [sentence for sentence in first if "cannot be told apart" in sentence]
    assert len(equal) >= 16
    assert not any("beats" in sentence for sentence in equal)


def test_references_are_compared_apart(document: Document) -> None:
    """The best method is praised against heuristics; what knows more than a node can is said to."""
    document["spec"]["methods"].append({"name": "oracle", "policy": "least-completion"})
    sentences = verdict(document, {"ratc": 0.8, "o2o": 0.85, "oracle": 0.9})
    assert sentences[0].startswith("o2o beats ratc by")
    assert "below oracle" in sentences[1]
    assert "centralised reference" in sentences[1]


def test_the_worth_of_each_phase(document: Document) -> None:
    methods = document["spec"]["methods"]
    methods.append({"name": "offline-only", **{k: methods[1][k] for k in ("collect", "offline")}})
    methods.append({"name": "online-only", "online": methods[1]["online"]})
    sentences = verdict(document, {"ratc": 0.7, "offline-only": 0.75, "online-only": 0.9, "o2o": 0.85})
    assert any(s.startswith("Fine-tuning adds") and "against offline-only" in s for s in sentences)
    assert any(s.startswith("The warm start costs") and "against online-only" in s for s in sentences)


def test_one_method_alone_has_a_verdict(document: Document) -> None:
    document["spec"]["methods"] = document["spec"]["methods"][:1]
    assert verdict(document, {"ratc": 0.8})[0].startswith("ratc completes")
