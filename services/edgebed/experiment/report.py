"""The report: one HTML file without scripts or links outwards, verdict first, for screen, phone and paper.

It is made from `results.json` and the experiment alone, so the same results give the same report.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib import resources
from typing import Any

from edgebed.experiment.drawing import ON_DARK, Drawn, variable_of
from edgebed.experiment.fidelity import sentence
from edgebed.experiment.specification import Experiment
from edgebed.experiment.verdict import Summary, percent, signed

Results = Mapping[str, Any]

_KINDS = {
    "policy": "policy",
    "offline": "offline",
    "online": "online",
    "offline-to-online": "offline to online",
    "networks": "over networks",
    "networks-to-online": "over networks, then online",
}


def report(results: Results, experiment: Experiment, specification: str, figures: Sequence[Drawn]) -> str:
    """The page. `specification` is the text of the experiment as run."""
    style = resources.files("edgebed.experiment").joinpath("report.css").read_text(encoding="utf-8")
    dark = " ".join(f"--{variable_of(colour)}: {there};" for colour, there in ON_DARK.items())
    style += f"@media screen and (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}\n"
    sentences = results["verdict"]
    body = [
        f"<header><p class=eyebrow>edgebed experiment</p><h1>{escape(experiment.name)}</h1>",
        f"<p class=lead>{escape(experiment.spec.description)}</p>" if experiment.spec.description else "",
        f"<p class=facts>{escape(_facts(results, experiment))}</p></header>",
        f"<section class=verdict aria-label=Verdict><p class=first>{_text(sentences[0])}</p>",
        f"<ul>{''.join(f'<li>{_text(sentence)}</li>' for sentence in sentences[1:])}</ul></section>",
        _comparison(results),
        *(_figure(figure) for figure in figures),
        _fidelity(results),
        _pairs(results),
        _settings(experiment),
        _reproduce(results, experiment, specification),
    ]
    title = escape(f"{experiment.name}: {sentences[0]}")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{title}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in body if part)
        + "\n</main>\n</body>\n</html>\n"
    )


def _facts(results: Results, experiment: Experiment) -> str:
    spec = experiment.spec
    seeds = f", {spec.training_seeds} training seeds each" if spec.training_seeds > 1 else ""
    counts = (
        f"{_count(spec.replicates, 'network')}{seeds}, {_count(spec.evaluation.episodes, 'evaluation episode')} on each"
    )
    return f"{len(results['order'])} methods on the same tasks: {counts}. Backend: {spec.backend}. Seed {spec.seed}."


def _text(sentence: str) -> str:
    """A sentence as HTML; an interval or a percentage is not broken over lines."""
    whole = re.sub(r"\[([^\]]*), ", "[\\1,\N{NO-BREAK SPACE}", sentence)
    return escape(re.sub(r"(\d) (%|points?\b)", "\\1\N{NO-BREAK SPACE}\\2", whole))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _figure(figure: Drawn) -> str:
    return (
        f"<section><h2>{_text(figure.title)}</h2><figure><div class=scroll>{figure.inline}</div>"
        f"<figcaption>{escape(figure.note)}</figcaption></figure></section>"
    )


def _comparison(results: Results) -> str:
    if "sweep" in results:
        return _swept(results)
    summary = Summary(results)
    ranked = sorted(results["order"], key=lambda name: -summary.mean(name))
    rows = []
    for name in ranked:
        method = results["methods"][name]
        rate = method["successRate"]
        rows.append(
            (
                f"<b>{escape(name)}</b><br><span class=kind>{_KINDS[method['kind']]}</span>",
                f"<b>{percent(rate['mean'])}</b>",
                _interval(rate["ci95SameNetworks"]),
                _interval(rate["ci95"]) if rate["ci95Over"] == "runs" else "",
                percent(rate["iqm"]),
                percent(method["offloadedShare"]),
                f"{method['messagesPerTask']:.1f}" if method["messagesPerTask"] is not None else "",
            )
        )
    names = ("method", "in time", "95 % on these networks", "95 % over networks", "interquartile mean")
    heads = (*names, "offloaded", "questions per task")
    note = (
        "In time: succeeded of all tasks (eq. 9). On these networks: how far other tasks on the same networks could move "
        "the mean; this is what tells methods apart. Over networks: how far other networks and training seeds could, "
        "which is wide when there are few of them."
    )
    return f"<section><h2>All methods</h2>{_table(heads, rows)}<p class=note>{note}</p></section>"


def _swept(results: Results) -> str:
    points = results["sweep"]["points"]
    rows = []
    for name in sorted(results["order"], key=lambda name: -Summary(points[-1]).mean(name)):
        rates = [point["methods"][name]["successRate"] for point in points]
        cells = [f"<b>{percent(rate['mean'])}</b><br>{_interval(rate['ci95SameNetworks'])}" for rate in rates]
        rows.append((f"<b>{escape(name)}</b>", *cells))
    heads = (results["sweep"]["label"], *(point["label"] for point in points))
    note = "Tasks completed in time, with the 95 % interval for other tasks on the same networks."
    return f"<section><h2>All methods</h2>{_table(heads, rows)}<p class=note>{note}</p></section>"


def _pairs(results: Results) -> str:
    """Every pair of methods, folded away."""
    blocks = results["sweep"]["points"] if "sweep" in results else [results]
    rows = []
    for block in blocks:
        summary = Summary(block)
        for entry in block["differences"]:
            found = summary.difference(entry["method"], entry["against"])
            first = (escape(str(block["label"])),) if "sweep" in results else ()
            cells = (escape(entry["method"]), escape(entry["against"]), signed(found.points), found.ends)
            rows.append((*first, *cells, f"{found.wins} of {found.replicates}"))
    if not rows:
        return ""
    heads = ["method", "against", "points", "95 % interval", "networks won"]
    heads = [results["sweep"]["label"], *heads] if "sweep" in results else heads
    return (
        "<section><details><summary>Every pair on the same tasks</summary>"
        f"{_table(heads, rows)}<p class=note>Positive: the first method completes more of the same tasks.</p>"
        "</details></section>"
    )


def _fidelity(results: Results) -> str:
    """What the testbed did against what it was told to do; empty for the simulator."""
    found = results.get("fidelity")
    if found is None:
        return ""
    milli = _milliseconds
    rows = [
        ("tasks that ended as the simulator says", percent(found["sameStatus"]), "", ""),
        ("end of a task against the simulator's", *(milli(found["endErrorSeconds"][q]) for q in ("p50", "p99", "max"))),
        (
            "execution against cycles / capacity",
            *(milli(found["executionErrorSeconds"][q]) for q in ("p50", "p99", "max")),
        ),
        ("transfer against size / rate", *(_permille(found["transferErrorShare"][q]) for q in ("p50", "p99", "max"))),
        ("start of a slot", *(milli(found["slotLatenessSeconds"][q]) for q in ("p50", "p99", "max"))),
    ]
    each = [
        (
            f"<b>{escape(name)}</b>",
            percent(method["successRate"]),
            percent(method["simulatedSuccessRate"]),
            percent(method["sameStatus"]),
            "" if method["probesPerTask"] is None else f"{method['probesPerTask']:.1f}",
            "" if method["probeBytesPerTask"] is None else f"{method['probeBytesPerTask']:.0f}",
            milli(method["probeLatencySeconds"]),
        )
        for name, method in ((name, found["methods"][name]) for name in results["order"] if name in found["methods"])
    ]
    heads = ("method", "in time, measured", "in the simulator", "same status", "probes per task", "bytes", "latency")
    note = (
        "The simulator's figure is of the same policy on the same tasks with the same luck. Same status: the simulator is "
        "given the decisions that were taken here. Latency: median time from a question to its answer. Nodes ran with "
        f"{' and '.join(found['priorities'])} priority; real-time scheduling, where permitted, keeps them punctual."
        + (" Processors were kept from sleeping." if found.get("awake") else "")
    )
    return (
        f"<section><h2>Measured against configured</h2><p>{_text(sentence(found))}.</p>"
        f"{_table(('error', 'median', '99 %', 'largest'), rows)}{_table(heads, each)}<p class=note>{note}</p></section>"
    )


def _milliseconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{1000 * seconds:.2f} ms"


def _permille(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.2f} %"


def _settings(experiment: Experiment) -> str:
    """Network, tasks and rules as a reader wants to know them."""
    document = experiment.to_document()["spec"]
    parts = ("network", "workload", "rules", "mask", "reward", "evaluation")
    rows = [
        (f"<b>{part}</b>" if position == 0 else "", escape(key), escape(_value(value)))
        for part in parts
        for position, (key, value) in enumerate(document[part].items())
    ]
    return f"<section><h2>Settings</h2>{_table(('', 'field', 'value'), rows)}</section>"


def _value(value: object) -> str:
    match value:
        case {"uniform": [low, high]}:
            return f"uniform from {low} to {high}"
        case {"choice": list(items)}:
            return f"one of {', '.join(map(str, items))}"
        case {"kind": kind}:
            return str(kind)
        case _:
            return str(value)


def _reproduce(results: Results, experiment: Experiment, specification: str) -> str:
    versions = [(escape(name), escape(version)) for name, version in sorted(results["versions"].items())]
    seeds = ", ".join(map(str, results["networkSeeds"]))
    files = [(escape(name), f"<code>{digest}</code>") for name, digest in sorted(results["files"].items())]
    rows = [("network seeds", escape(seeds)), ("specification", f"<code>{results['digest']}</code>"), *files, *versions]
    return (
        "<section><h2>How to get this again</h2>"
        "<p>The folder of this report holds the experiment as it was run. The same experiment, seed and versions give the "
        "same <code>results.json</code>.</p>"
        f"<pre>edgebed run experiment.yaml --output again/{escape(experiment.name)}</pre>"
        f"{_table(('', ''), rows)}"
        f"<details><summary>experiment.yaml</summary><pre>{escape(specification)}</pre></details></section>"
    )


def _interval(ends: Sequence[float | None] | None) -> str:
    """Two ends in per cent; a share cannot leave 0 to 100."""
    if ends is None or ends[0] is None or ends[1] is None:
        return ""
    return f"{100 * max(0.0, ends[0]):.1f} to {100 * min(1.0, ends[1]):.1f}"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose first column stays in sight on a narrow screen; cells are HTML."""
    head = "".join(f"<th>{escape(name)}</th>" for name in heads) if any(heads) else ""
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<div class=scroll><table>{f'<thead><tr>{head}</tr></thead>' if head else ''}<tbody>{body}</tbody></table></div>"
