"""Documentation that can fail: its experiments are valid, its commands exist, its links lead somewhere."""

import dataclasses
import re
import shlex
from pathlib import Path

import pytest
import typer.core
import typer.main

from edgebed.cli.app import app
from edgebed.cli.plan import load_experiment
from edgebed.experiment.errors import UserError
from edgebed.systems.cooperative.rules import Rules

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
README = PAGES[0].read_text()
COMMANDS = typer.main.get_command(app)
assert isinstance(COMMANDS, typer.core.TyperGroup)

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.M | re.S)


def commands(text: str, program: str) -> list[list[str]]:
    """Every call of a program: lines of a console block, and `program ...` in a sentence. Without comments."""
    lines = [line[2:] for block in blocks(text, "console") for line in block.splitlines() if line.startswith("$ ")]
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    lines += [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", prose)]
    calls = (re.split(r"\s[#|>]|\s…|<", line)[0] for line in lines)
    return [shlex.split(call)[1:] for call in calls if call.split()[:1] == [program]]


def test_the_readmes_experiment_is_valid(tmp_path):
    """A reader can copy it."""
    (experiment,) = blocks(README, "yaml")
    file = tmp_path / "first.yaml"
    file.write_text(experiment)
    assert load_experiment(file, None).name == "first"


def test_the_readmes_mistake_is_answered_as_it_says(tmp_path, monkeypatch):
    """The message shown is the message given."""
    (experiment,) = blocks(README, "yaml")
    monkeypatch.chdir(tmp_path)
    Path("first.yaml").write_text(experiment.replace("    cores:", "    coers:"))
    with pytest.raises(UserError) as refused:
        load_experiment(Path("first.yaml"), None)
    assert f"$ edgebed validate first.yaml\n{refused.value}\n" in README


@each_page
def test_commands_exist_with_their_options(page):
    """Each `edgebed ...` of a page names a command that there is, and options that it has."""
    for command, *arguments in filter(None, commands(page.read_text(), "edgebed")):
        if command.startswith("-"):
            assert command in ("--help", "--install-completion")
            continue
        assert command in COMMANDS.commands
        known = {option for parameter in COMMANDS.commands[command].params for option in parameter.opts}
        assert {argument for argument in arguments if argument.startswith("--")} <= known


@pytest.mark.parametrize("name", sorted(COMMANDS.commands))
def test_every_command_is_in_the_readme(name):
    """A command that a reader cannot find is not there."""
    assert name in {command[0] for command in commands(README, "edgebed") if command}


@pytest.mark.parametrize("name", sorted(COMMANDS.commands))
def test_a_commands_own_examples_would_be_taken(name):
    """The examples in its help name files of this repository that exist, and options that it has."""
    command = COMMANDS.commands[name]
    paragraphs = [" ".join(part.split()) for part in (command.help or "").split("\n\n")]
    calls = [shlex.split(re.split(r"\s[|>]", part)[0])[1:] for part in paragraphs if part.startswith("edgebed ")]
    assert calls
    known = {option for parameter in command.params for option in parameter.opts}
    for call in calls:
        assert call[0] == name
        assert {argument for argument in call if argument.startswith("--")} <= known
        for file in (argument for argument in call if argument.startswith(("deploy/", "tests/"))):
            assert list(ROOT.glob(file)), file


@each_page
def test_make_targets_exist_and_are_listed(page):
    """Each `make ...` of a page is a target that `make` alone lists."""
    makefile = (ROOT / "Makefile").read_text()
    for arguments in commands(page.read_text(), "make"):
        for target in (argument for argument in arguments if "=" not in argument):
            assert re.search(rf"^{target}:.* ## ", makefile, re.M), target


@each_page
def test_links_lead_somewhere(page):
    """To files of this repository, and to headings of a page."""
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in target:
            continue
        file, _, heading = target.partition("#")
        linked = page.parent / file if file else page
        assert linked.exists(), target
        headings = re.findall(r"^#+ (.*)$", linked.read_text(), re.M) if heading else []
        assert not heading or heading in {re.sub(r"[^\w\s-]", "", t).lower().replace(" ", "-") for t in headings}, (
            target
        )


def test_the_models_page_knows_every_rule():
    """With all values, the default first."""
    page = (ROOT / "docs/model.md").read_text()
    section = page.split("## Rules")[1].split("## ")[0]
    told = re.findall(r"^\| (?:`(\w+)`)? ?\| `(\w+)` \|", section, re.M)
    expected = []
    for field in dataclasses.fields(Rules):
        name = re.sub(r"_(\w)", lambda found: found[1].upper(), field.name)
        values = [str(value) for value in type(field.default)]
        assert values[0] == field.default
        expected += list(zip([name] + [""] * len(values), values, strict=False))
    assert told == expected


@each_page
def test_paths_in_backticks_exist(page):
    """A page names no file that has moved."""
    named = re.findall(r"`((?:services|tests|scripts|docs|deploy|requirements)/[\w./-]+)`", page.read_text())
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_every_room_has_a_row_in_contributing():
    """And every row a room."""
    rows = re.findall(r"^\| \d \| `services/edgebed/(\w+)` \|", PAGES[1].read_text(), re.M)
    rooms = [path.parent.name for path in (ROOT / "services/edgebed").glob("*/__init__.py")]
    assert sorted(rows) == sorted(rooms)
