"""How far an experiment is, for people: phases, success rates per method, lateness. Told by one thread, read by others."""

import json
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from edgebed.controller.directory import Stopped
from edgebed.controller.steps import step_of
from edgebed.experiment.files import canonical, write_atomically
from edgebed.runner.ground import Request
from edgebed.stores.task_log import EpisodeRow
from edgebed.systems.cooperative.rules import Horizon

HISTORY = 1000
"""The latest success rates of a method that are shown."""
LATENESS = 100_000
"""The latest slots whose lateness is kept for its quantiles."""
PHASES = 200
"""The latest phases that are over and still shown."""
PACE = 21
"""The latest episodes that say how long the next ones may take."""
FOUND_S = 0.05
"""An episode that took less was not played: it was in the log already."""


class Status:
    """Of one run of an experiment. It is the runner's `Progress`, too."""

    def __init__(
        self,
        horizon: Horizon,
        stop: threading.Event,
        file: Path | None = None,
        now: Callable[[], float] = time.monotonic,
        on_step: Callable[[], None] | None = None,
    ) -> None:
        """Telling progress raises Stopped once `stop` is set, so that work elsewhere is not waited for.

        `file` keeps what is known of the episodes, for a controller that goes on with the run; `now` is in seconds.
        `on_step` is called whenever another step (`steps`) begins.
        """
        self._horizon, self._stop, self._file, self._now = horizon, stop, file, now
        self._on_step = on_step
        self._latest: dict[str, Any] | None = None
        """The stage that it is in; between two, the one before."""
        self._lock = threading.Lock()
        self._stages: dict[str, dict[str, Any]] = {}
        self._episodes = {} if file is None else _read(file)
        """By phase and position, so that one that is told twice counts once."""
        self._late: list[float] = []
        self._played = 0
        self._began = self._mark = now()
        self._since: dict[str, float] = {}
        self._over: deque[dict[str, Any]] = deque(maxlen=PHASES)
        self._pace: deque[float] = deque(maxlen=PACE)

    # As Progress

    def started(self, stage: str, label: str, total: float | None) -> None:
        """As in `Progress`."""
        with self._lock:
            self._stages[stage] = {"label": label, "done": 0.0, "total": total, "note": ""}
            self._since[stage] = self._mark = self._now()
        self._show()
        self._mind_stop()

    def advanced(self, stage: str, amount: float, note: str = "") -> None:
        """As in `Progress`."""
        with self._lock:
            found = self._stages.get(stage)
            if found is not None:
                found["done"] += amount
                found["note"] = note or found["note"]
        self._mind_stop()

    def finished(self, stage: str) -> None:
        """As in `Progress`."""
        with self._lock:
            found = self._stages.pop(stage, None)
            if found is not None:
                seconds = round(self._now() - self._since.pop(stage), 3)
                self._over.append({"label": found["label"], "total": found["total"], "seconds": seconds})
        self._show()

    def _show(self) -> None:
        """Which stage the experiment is in, which is told where that is another step."""
        with self._lock:
            before = self._label()
            if self._stages:
                self._latest = list(self._stages.values())[-1]
            stepped = step_of(self._label()) != step_of(before)
        if stepped and self._on_step is not None:
            self._on_step()

    def _label(self) -> str | None:
        return None if self._latest is None else str(self._latest["label"])

    def _mind_stop(self) -> None:
        if self._stop.is_set():
            raise Stopped

    # As what a ground tells

    def played(self, request: Request, row: EpisodeRow) -> None:
        """An episode is in the log."""
        result = row.result or {}
        late = result.get("slotLatenessSeconds", [])
        with self._lock:
            self._episodes[f"{row.phase}/{row.position}"] = {
                "method": request.method or str(row.about.get("scheduler", "")),
                "stream": request.stream.name.lower(),
                "rate": success_rate(result.get("counts", {}), self._horizon),
                "counts": result.get("counts", {}),
                "worst": max(late, default=0.0),
                "reliable": result.get("reliable", True),
                "lost": len(result.get("lostTasks", [])),
            }
            self._late = [*self._late[-LATENESS:], *late]
            self._played += 1
            took_s, self._mark = self._now() - self._mark, self._now()
            if took_s >= FOUND_S:
                self._pace.append(took_s)
            content = canonical(self._episodes)
        if self._file is not None:
            write_atomically(self._file, content)

    def document(self, states: Sequence[Mapping[str, Any] | None], lost: Mapping[int, str]) -> dict[str, Any]:
        """As JSON; `states` and `lost` are the testbed's."""
        with self._lock:
            stages = [dict(stage) for stage in self._stages.values()]
            episodes = list(self._episodes.values())
            late = sorted(self._late)
            over, pace = [dict(stage) for stage in self._over], list(self._pace)
            latest = self._latest and dict(self._latest)
        series: dict[str, dict[str, list[Mapping[str, Any]]]] = {}
        for episode in episodes:
            series.setdefault(episode["method"], {}).setdefault(episode["stream"], []).append(episode)
        unreliable = sum(not episode["reliable"] for episode in episodes)
        return {
            "phase": latest["label"] if latest else None,
            "episode": {"done": latest["done"], "of": latest["total"]} if latest else None,
            "stages": stages,
            "finishedStages": over,
            "methods": {
                name: {stream: _series(found) for stream, found in streams.items()} for name, streams in series.items()
            },
            "nodes": [_node(index, state, lost.get(index)) for index, state in enumerate(states)],
            "episodesPlayed": self._played,
            "episodesKnown": len(episodes),
            "secondsPerEpisode": round(median(pace), 3) if pace else None,
            "lostTasks": sum(episode["lost"] for episode in episodes),
            "slotLatenessSeconds": {
                "p50": late[len(late) // 2] if late else None,
                "p99": late[round(0.99 * (len(late) - 1))] if late else None,
                "max": max((episode["worst"] for episode in episodes), default=None),
            },
            "lateEpisodes": unreliable,
            "reliable": unreliable == 0,
            "seconds": round(self._now() - self._began, 3),
        }


def remaining_s(known: int, planned: int, pace_s: float | None) -> float | None:
    """About how long the episodes still take that are not played yet; what is learned between them comes on top."""
    return None if pace_s is None else round(max(0, planned - known) * pace_s, 1)


def success_rate(counts: Mapping[str, int], horizon: Horizon) -> float | None:
    """Eq. 9 of one episode; None without a task."""
    unfinished = 0 if horizon is Horizon.CUT_IGNORE else counts.get("unfinished", 0)
    ended = counts.get("succeeded", 0) + counts.get("dropped", 0) + counts.get("failed", 0) + unfinished
    return counts.get("succeeded", 0) / ended if ended else None


def _series(episodes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    rates = [episode["rate"] for episode in episodes]
    tasks: Counter[str] = Counter()
    for episode in episodes:
        tasks.update(episode.get("counts", {}))  # an older controller kept none
    known = [rate for rate in rates if rate is not None]
    mean = sum(known) / len(known) if known else None
    history = [_rounded(rate) for rate in rates[-HISTORY:]]
    return {"episodes": len(rates), "successRate": mean, "tasks": dict(tasks), "history": history}


_rounded: Callable[[float | None], float | None] = lambda rate: None if rate is None else round(rate, 4)  # noqa: E731


def _read(path: Path) -> dict[str, dict[str, Any]]:
    """What was known of a run's episodes; nothing when that cannot be read, because the log knows them better."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _node(index: int, state: Mapping[str, Any] | None, lost: str | None) -> dict[str, Any]:
    """What people want to see of a node."""
    if state is None:
        return {"node": index, "lost": lost}
    waiting_to = state.get("waitingTo", [])
    return {
        "node": index,
        "lost": lost,
        "waiting": state.get("waiting", 0),
        "executing": state.get("executing", False),
        "waitingTo": waiting_to,
        "sending": sum(map(bool, state.get("sendingTo", []))),
        "scheduler": state.get("scheduler", ""),
        "modelVersion": int(state.get("modelVersion", 0)),
        "progress": state.get("progress", {}),
    }
