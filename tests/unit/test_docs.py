"""What the pages say is so: their experiments are valid, their commands and options exist, their links lead somewhere."""

import re
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from edgebed.cli.app import app
from edgebed.cli.plan import load_experiment, plan

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
EXPERIMENTS = sorted((ROOT / "deploy" / "experiments").glob("*.yaml"))
COMMANDS = {
    name: {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    for name, command in typer.main.get_group(app).commands.items()  # type: ignore[attr-defined]
}

GENERATED = {"docs/reproduction.md"}
"""Made by `make paper` in hours; a page may speak of it before it is there."""


def name_of(path: Path) -> str:
    """What a test of a file is called."""
    return path.relative_to(ROOT).as_posix()


def first_experiment() -> str:
    """The experiment that the README shows."""
    found = re.findall(r"^```yaml\n(.*?)^```", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    assert len(found) == 1
    return str(found[0])


def anchors(page: str) -> set[str]:
    """What links into a page may end in: its headings, as GitHub makes anchors of them."""
    headings = re.findall(
        r"^#+ +(.+?) *$", re.sub(r"^```.*?^```", "", page, flags=re.DOTALL | re.MULTILINE), re.MULTILINE
    )
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_experiment_of_the_readme_is_valid(tmp_path: Path) -> None:
    """The first experiment that a reader copies is valid and compares what the page says."""
    path = tmp_path / "first.yaml"
    path.write_text(first_experiment())
    assert plan(load_experiment(path, None))["methods"] == ["ratc", "least", "o2o"]


def test_message_of_the_readme_is_what_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer to a mistyped field that the README shows is the one that its reader gets."""
    monkeypatch.chdir(tmp_path)
    Path("first.yaml").write_text(first_experiment().replace("cores:", "coers:"))
    said = CliRunner().invoke(app, ["validate", "first.yaml"]).stderr
    assert said.count("\n") == 2
    assert said in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("path", EXPERIMENTS, ids=name_of)
def test_example_experiment_is_valid(path: Path) -> None:
    """Every experiment in deploy/experiments is valid with the policies that come along, its input files included."""
    assert plan(load_experiment(path, None))["name"] == path.stem


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_of_a_page_exist(page: Path) -> None:
    """Every `edgebed COMMAND` in code on a page exists, and so do the options beside it."""
    text = page.read_text()
    code = re.findall(r"^```.*?^```|`[^`\n]+`", text, re.DOTALL | re.MULTILINE)
    for line in (line for block in code for line in block.strip("`").splitlines()):
        for command, rest in re.findall(r"(?:^|\$ |/)edgebed ([\w-]+)([^|]*)", line):
            assert command in COMMANDS, f"{name_of(page)}: {line}"
            for option in re.findall(r"(?<!\S)--[\w-]+", rest):
                assert option in COMMANDS[command], f"{name_of(page)}: {line}"


def test_readme_shows_every_command_for_experiments() -> None:
    """The README names each command but the one for editors."""
    shown = set(re.findall(r"^\$ edgebed ([\w-]+)", (ROOT / "README.md").read_text(), re.MULTILINE))
    assert shown == set(COMMANDS) - {"schema"}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    """Every relative link and picture of a page exists, with the heading that it points at."""
    text = page.read_text()
    missing = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target) or target in GENERATED:
            continue
        place, _, anchor = target.partition("#")
        path = (page.parent / place).resolve() if place else page
        if not path.exists() or (anchor and anchor not in anchors(path.read_text())):
            missing.append(target)
    assert missing == []


def test_commands_of_make_exist() -> None:
    """Every `make TARGET` on a page is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        for target in re.findall(r"(?:`|^\$ )make ([a-z]+)", page.read_text(), re.MULTILINE):
            assert target in targets, f"{name_of(page)}: make {target}"
