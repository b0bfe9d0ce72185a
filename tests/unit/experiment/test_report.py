"""The report is one file, the same for the same results, readable by anyone, and says what the results say."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from edgebed.experiment.errors import UserError
from edgebed.experiment.folder import open_run_folder
from edgebed.experiment.results import read_results, write_report, write_results
from edgebed.experiment.specification import Experiment
from edgebed.experiment.sweep import expand
from edgebed.experiment.validation import validate
from tests.unit.experiment.outcomes import outcomes

Document = dict[str, Any]
VOID = {"meta", "br", "link", "path", "use"}


class Reader(HTMLParser):
    """Collects tags, ids, references and text, and checks that tags are closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.words = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id" and value:
                self.ids.append(value)
            if name in ("href", "src", "xlink:href") and value:
                self.links.append(value)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


def run(folder: Path, experiment: Experiment) -> Path:
    opened = open_run_folder(folder, experiment)
    write_results(opened, [outcomes(step) for _, step in expand(opened.experiment)])
    return folder


def read(folder: Path) -> Reader:
    reader = Reader()
    reader.feed((folder / "report.html").read_text(encoding="utf-8"))
    assert reader.open == []
    return reader


@pytest.fixture
def ran(tmp_path: Path, experiment: Experiment) -> Path:
    """The folder of a finished run."""
    return run(tmp_path / "run", experiment)


def test_the_report_stands_alone(ran: Path) -> None:
    """No script, nothing from elsewhere, every reference is to something in the file, no id twice."""
    page = read(ran)
    assert "script" not in page.tags
    assert all(link.startswith("#") and link[1:] in page.ids for link in page.links)
    assert len(page.ids) == len(set(page.ids))
    text = (ran / "report.html").read_text()
    for used in re.findall(r"url\(#([^)]*)\)", text):
        assert used in page.ids
    addresses = set(re.findall(r"https?://[^\s\"'<>]+", text))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}


def test_the_verdict_comes_first(ran: Path) -> None:
    page = read(ran)
    results = read_results(ran)
    words = " ".join(page.words.replace("\N{NO-BREAK SPACE}", " ").split())
    assert words.index(results["verdict"][0]) < words.index("All methods")
    for expected in ("learning", "Settings", "How to get this again", "seed: 7", results["digest"], "numpy"):
        assert expected in words


def test_figures_are_files_too(ran: Path) -> None:
    names = {path.name for path in (ran / "figures").iterdir()}
    wanted = ("comparison", "differences", "learning-curve", "losses", "delays")
    assert names == {f"{name}.{kind}" for name in wanted for kind in ("svg", "png")}
    assert all((ran / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG") for name in wanted)


def test_the_same_results_give_the_same_bytes(tmp_path: Path, ran: Path, experiment: Experiment) -> None:
    """results.json, report and figures; also when the report is made again from the results."""
    again = run(tmp_path / "again", experiment)
    files = sorted(p.relative_to(ran) for p in ran.rglob("*") if p.is_file() and "stages" not in p.parts)
    assert len(files) == 13
    for file in files:
        assert (ran / file).read_bytes() == (again / file).read_bytes(), file
    before = (ran / "report.html").read_bytes()
    (ran / "report.html").unlink()
    assert write_report(ran) == ran / "report.html"
    assert (ran / "report.html").read_bytes() == before


def test_text_from_the_user_is_text(tmp_path: Path, document: Document) -> None:
    document["spec"]["description"] = "<script>alert('1 < 2 & 3')</script>"
    page = read(run(tmp_path / "run", validate(document)))
    assert "script" not in page.tags
    assert "alert('1 < 2 & 3')" in page.words


def test_results_have_what_programs_read(ran: Path) -> None:
    results = json.loads((ran / "results.json").read_text())
    for name in ("ratc", "o2o"):
        rate = results["methods"][name]["successRate"]
        assert 0 <= rate["mean"] <= 1
        assert len(rate["perReplicate"]) == 2
        assert rate["ci95"][0] <= rate["mean"] <= rate["ci95"][1]
        assert rate["std"] >= 0
    assert [p["onlineEpisodes"] for p in results["methods"]["o2o"]["learningCurve"]] == [0, 10, 20]
    assert results["methods"]["o2o"]["dip"]["points"] >= 0


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("network.nodes", [2, 4, 8]),
        ("workload.sizeKB", [{"uniform": [1000, 5000]}, {"uniform": [1000, 8000]}]),
        ("rules.dropPolicy", ["never", "estimateAtBoth"]),
        ("mask.coefficient", [0.25]),
    ],
)
def test_a_sweep_is_reported_along_its_axis(tmp_path: Path, document: Document, field: str, values: list[Any]) -> None:
    document["spec"]["sweep"] = {"field": field, "values": values, "label": "the axis"}
    folder = run(tmp_path / "run", validate(document))
    results = read_results(folder)
    assert [point["value"] for point in results["sweep"]["points"]] == values
    assert "methods" not in results
    page = read(folder)
    assert "the axis" in page.words
    assert all(point["label"] in page.words for point in results["sweep"]["points"])


@pytest.mark.parametrize("kept", [["ratc"], ["o2o"]])
def test_one_method_alone_has_a_report(tmp_path: Path, document: Document, kept: list[str]) -> None:
    document["spec"]["methods"] = [m for m in document["spec"]["methods"] if m["name"] in kept]
    read(run(tmp_path / "run", validate(document)))


def test_a_folder_without_results_has_no_report(tmp_path: Path, ran: Path) -> None:
    with pytest.raises(UserError, match=r"there is no results\.json"):
        write_report(tmp_path)
    (ran / "results.json").write_text("{")
    with pytest.raises(UserError, match="is damaged"):
        write_report(ran)
    (ran / "results.json").write_text('{"format": 99}')
    with pytest.raises(UserError, match="has format 99"):
        write_report(ran)
