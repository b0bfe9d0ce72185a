"""How far a testbed did what it was configured to do: measured against configured, and against the simulator.

    unit = compare(measured, replayed, network)      # one method on one network
    results["fidelity"] = summarise(units, ...)

`replayed` is the simulator's log of the same tasks with the decisions that were logged: what should have happened to each
task. So a difference is the testbed's, not the policy's. Errors are measured minus expected, in seconds; of a link, the
measured time of a transfer against size / rate, as a share of it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgebed.systems.cooperative.lifecycle import TaskState
from edgebed.systems.cooperative.log import TaskLog
from edgebed.systems.cooperative.network import Network

LATENESS_SHARE = 0.1
"""A run in which a slot began later than this share of a slot is marked unreliable."""

_PLACES = 7
"""Decimals of the seconds that are kept."""


def compare(measured: TaskLog, replayed: TaskLog, network: Network) -> dict[str, Any]:
    """One method on one network, as JSON; both logs hold the same tasks in the same order.

    End times are compared where both logs have the same status and an end, transfers where the task was received,
    executions where it was executed to its end.
    """
    if not (
        np.array_equal(measured.slot, replayed.slot)
        and np.array_equal(measured.source, replayed.source)
        and np.array_equal(measured.destination, replayed.destination)
    ):
        raise ValueError("the two logs are not of the same tasks and decisions")
    same = measured.status == replayed.status
    both = same & ~np.isnan(measured.ended_s) & ~np.isnan(replayed.ended_s)
    i, j = measured.source, measured.destination
    moved = (i != j) & ~np.isnan(measured.received_s)
    wanted_s = measured.size_bits[moved] / network.link_rate_bits_per_s[i[moved], j[moved]]
    took_s = measured.transmission_s[moved]
    served = ~np.isnan(measured.execution_s) & (measured.status == TaskState.SUCCEEDED)
    planned_s = measured.cycles[served] / network.capacity_hz[j[served]]
    return {
        "tasks": len(measured),
        "sameStatus": int(same.sum()),
        "endErrorSeconds": _rounded((measured.ended_s - replayed.ended_s)[both]),
        "transferErrorShare": _rounded((took_s - wanted_s) / wanted_s),
        "executionErrorSeconds": _rounded(measured.execution_s[served] - planned_s),
        "links": _links(measured, moved, took_s, network),
    }


def summarise(units: Sequence[Mapping[str, Any]], *, slot_s: float) -> dict[str, Any]:
    """The section `fidelity` of results.json.

    A unit is what `compare` gives with, beside it: `method`, `successRate` and `simulatedSuccessRate` (the same policy on
    the same luck in the simulator), `slotLatenessSeconds` (of every slot), `probes` (count, bytes, latencyP50Seconds),
    `priorities` (with which nodes ran), `awake` (whether their processors were kept from sleeping) and `lost` (tasks whose node
    went away).
    """
    tasks = sum(unit["tasks"] for unit in units)
    lateness = _joined(units, "slotLatenessSeconds")
    worst = float(lateness.max(initial=0.0))
    late = int((lateness > LATENESS_SHARE * slot_s).sum())
    methods: dict[str, dict[str, Any]] = {}
    for name in dict.fromkeys(unit["method"] for unit in units):
        own = [unit for unit in units if unit["method"] == name]
        count = sum(unit["tasks"] for unit in own)
        methods[name] = {
            "tasks": count,
            "sameStatus": _share(sum(unit["sameStatus"] for unit in own), count),
            "endErrorSeconds": _quantiles(np.abs(_joined(own, "endErrorSeconds"))),
            "successRate": _mean(own, "successRate"),
            "simulatedSuccessRate": _mean(own, "simulatedSuccessRate"),
            "probesPerTask": _share(sum(unit["probes"]["count"] for unit in own), count),
            "probeBytesPerTask": _share(sum(unit["probes"]["bytes"] for unit in own), count),
            "probeLatencySeconds": _mean([unit["probes"] for unit in own], "latencyP50Seconds"),
            "lost": sum(unit["lost"] for unit in own),
        }
    return {
        "tasks": tasks,
        "sameStatus": _share(sum(unit["sameStatus"] for unit in units), tasks),
        "endErrorSeconds": _quantiles(np.abs(_joined(units, "endErrorSeconds"))),
        "transferErrorShare": _quantiles(np.abs(_joined(units, "transferErrorShare"))),
        "executionErrorSeconds": _quantiles(np.abs(_joined(units, "executionErrorSeconds"))),
        "slotLatenessSeconds": _quantiles(lateness),
        "slotLatenessLimitSeconds": LATENESS_SHARE * slot_s,
        "lateSlots": late,
        "worstSlotLatenessSeconds": worst,
        "reliable": late == 0,
        "priorities": sorted({name for unit in units for name in unit["priorities"]}),
        "awake": all(unit.get("awake", False) for unit in units),  # older runs do not say
        "links": [link for unit in units for link in unit["links"]],
        "methods": methods,
    }


def sentence(fidelity: Mapping[str, Any]) -> str:
    """What a reader must know before the results."""
    same = fidelity["sameStatus"]
    share = "" if same is None else f"{100 * same:.1f} % of the tasks ended as the simulator says"
    if fidelity["reliable"]:
        return f"The testbed kept its schedule: {share}"
    worst, limit = 1000 * fidelity["worstSlotLatenessSeconds"], 1000 * fidelity["slotLatenessLimitSeconds"]
    return (
        f"Unreliable: {fidelity['lateSlots']} slots began more than {limit:.0f} ms late (up to {worst:.0f} ms), so this "
        f"machine was too busy for the load; {share}"
    )


def _links(
    log: TaskLog, moved: NDArray[np.bool_], took_s: NDArray[np.float64], network: Network
) -> list[dict[str, Any]]:
    """Configured and measured rate of every link that was used, in MB/s."""
    pair = log.source[moved].astype(np.int64) * network.nodes + log.destination[moved]
    found = []
    for key in np.unique(pair):
        of = pair == key
        i, j = divmod(int(key), network.nodes)
        rate = float(log.size_bits[moved][of].sum() / took_s[of].sum())
        found.append(
            {
                "from": i,
                "to": j,
                "configuredMBps": round(float(network.link_rate_bits_per_s[i, j]) / 8e6, 4),
                "measuredMBps": round(rate / 8e6, 4),
                "transfers": int(of.sum()),
            }
        )
    return found


def _rounded(values: NDArray[np.float64]) -> list[float]:
    return [float(value) for value in np.round(values, _PLACES)]


def _joined(units: Sequence[Mapping[str, Any]], key: str) -> NDArray[np.float64]:
    return np.array([value for unit in units for value in unit[key]], dtype=np.float64)


def _quantiles(values: NDArray[np.float64]) -> dict[str, float | None]:
    if len(values) == 0:
        return {"p50": None, "p95": None, "p99": None, "max": None}
    p50, p95, p99 = np.percentile(values, (50, 95, 99))
    return {"p50": float(p50), "p95": float(p95), "p99": float(p99), "max": float(values.max())}


def _mean(units: Sequence[Mapping[str, Any]], key: str) -> float | None:
    known = [unit[key] for unit in units if unit[key] is not None]
    return float(np.mean(known)) if known else None


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None
