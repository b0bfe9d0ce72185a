"""Artefacts in a local folder: the suite, crashes at every step, a full disk, and random use against a plain dict."""

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from edgebed.experiment.errors import EnvironmentFault, UserError
from edgebed.stores.artefacts import ArtefactError, LocalArtefacts, open_artefacts
from tests.stores.artefact_suite import ABOUT, FILES, NAME, ArtefactSuite
from tests.stores.kill import killed_at_every_step

LATER = {"actor.safetensors": b"later" * 1000, "notes.txt": FILES["notes.txt"]}


def stored(folder, name, file):
    """Where a file lies."""
    stem, _, ending = (file or "manifest.json").partition(".")
    found = list((folder / name).glob(f"{stem}*{ending and '.'}{ending}"))
    assert len(found) == 1
    return found[0]


class TestLocal(ArtefactSuite):
    @pytest.fixture
    def store(self, tmp_path):
        return LocalArtefacts(tmp_path / "artefacts")

    def again(self, store):
        return LocalArtefacts(store._folder)

    def damage(self, store, name, file, change):
        path = stored(store._folder, name, file)
        if change is None:
            path.unlink()
        else:
            path.write_bytes(change(path.read_bytes()))


def test_people_find_their_files(tmp_path):
    """A folder per artefact, in it a readable manifest and files that keep their names' beginning and ending."""
    LocalArtefacts(tmp_path).publish("figures/run-1", {"delay.svg": b"<svg/>"}, {"figure": 5})
    names = sorted(p.name for p in (tmp_path / "figures" / "run-1").iterdir())
    assert [(name.partition(".")[0], name.rpartition(".")[2]) for name in names] == [
        ("delay", "svg"),
        ("manifest", "json"),
    ]
    assert '"figure": 5' in (tmp_path / "figures" / "run-1" / "manifest.json").read_text()


@pytest.mark.parametrize("url", ["", "file:", "file://", "hdfs://there/x", "artefacts"])
def test_another_url_is_refused(url):
    with pytest.raises(UserError, match=r"EDGEBED_ARTEFACTS: .* give file:FOLDER"):
        open_artefacts(url)


def test_it_says_how_it_is(tmp_path):
    """Where it is and how much space is left; nothing is left over. A folder that cannot be written is named."""
    store = LocalArtefacts(tmp_path / "artefacts")
    assert f"folder {tmp_path / 'artefacts'}: written, read and deleted; " in store.probe()
    assert list((tmp_path / "artefacts").iterdir()) == []
    shutil.rmtree(tmp_path / "artefacts")
    with pytest.raises(EnvironmentFault, match=r"artefacts cannot be written"):
        store.probe()


@pytest.mark.parametrize("form", ["file:{}", "file://{}"])
def test_a_url_opens_a_folder(tmp_path, form):
    open_artefacts(form.format(tmp_path / "here")).publish("a", {}, {})
    assert LocalArtefacts(tmp_path / "here").names() == ["a"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(EnvironmentFault, match=r"file.*cannot be written.*set EDGEBED_ARTEFACTS to another"):
        LocalArtefacts(tmp_path / "file" / "artefacts")


def publish_first(folder, arm):
    arm()
    LocalArtefacts(folder).publish(NAME, FILES, ABOUT)


def publish_later(folder, arm):
    store = LocalArtefacts(folder)
    store.publish(NAME, FILES, ABOUT)
    arm()
    store.publish(NAME, LATER, {})


@pytest.mark.parametrize("act", [publish_first, publish_later], ids=["new", "again"])
def test_killed_while_it_publishes(tmp_path, act):
    """At whatever instant: the artefact is as before, or as published, whole; and it can be published again."""
    seen = []
    for count in range(1, killed_at_every_step(act, tmp_path) + 1):
        store = LocalArtefacts(tmp_path / str(count))
        if store.names():
            artefact = store.open(NAME)
            content = {file: artefact.read(file) for file in artefact.files}
            assert (content, artefact.about) in ((FILES, ABOUT), (LATER, {}))
            seen.append("first" if content == FILES else "later")
        else:
            seen.append("none")
        store.publish(NAME, LATER, ABOUT)
        assert store.open(NAME).read("actor.safetensors") == LATER["actor.safetensors"]
    before, after = ("none", "first") if act is publish_first else ("first", "later")
    assert seen == sorted(seen, key=[before, after].index)
    assert len(seen) > 5
    assert set(seen) == {before, after}


def test_a_full_disk_leaves_what_was_there(small_disk):
    """The reason and the remedy; the old artefact is whole, and the new one is published once there is room."""
    store = LocalArtefacts(small_disk / "artefacts")
    store.publish(NAME, FILES, ABOUT)
    (small_disk / "ballast").write_bytes(bytes(3_000_000))
    large = {"actor.safetensors": bytes(2_000_000)}
    with pytest.raises(EnvironmentFault, match=r"No space left.*free some space.*or set EDGEBED_ARTEFACTS to another"):
        store.publish(NAME, large, {})
    assert store.open(NAME).read("actor.safetensors") == FILES["actor.safetensors"]
    (small_disk / "ballast").unlink()
    store.publish(NAME, large, {})
    assert store.open(NAME).read("actor.safetensors") == large["actor.safetensors"]


names = st.sampled_from(["a", "a/b", "a/b/c", "models/v1"])
files = st.dictionaries(st.sampled_from(["x", "x.bin", "y.json", "Z-1"]), st.binary(max_size=50), max_size=3)
about = st.dictionaries(st.text(max_size=5), st.none() | st.integers() | st.text(max_size=5), max_size=2)


class Artefacts(RuleBasedStateMachine):
    """Publishing, damage and new readers in any order, against a dict of what was published."""

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.store = LocalArtefacts(self.folder)
        self.wanted = {}
        self.broken = set()

    def teardown(self):
        shutil.rmtree(self.folder)

    @rule(name=names, files=files, about=about)
    def publish(self, name, files, about):
        self.store.publish(name, files, about)
        self.wanted[name] = (files, about)
        self.broken.discard(name)

    @rule()
    def another_process(self):
        self.store = LocalArtefacts(self.folder)

    @rule(name=names)
    def damage_the_manifest(self, name):
        if name in self.wanted:
            path = self.folder / name / "manifest.json"
            path.write_bytes(path.read_bytes()[:-3])
            self.broken.add(name)

    @rule(name=names)
    def open(self, name):
        if name not in self.wanted or name in self.broken:
            with pytest.raises(ArtefactError, match="publish"):
                self.store.open(name)
        else:
            artefact = self.store.open(name)
            assert ({file: artefact.read(file) for file in artefact.files}, artefact.about) == self.wanted[name]

    @invariant()
    def the_names_are_those_published(self):
        assert self.store.names() == sorted(self.wanted)


TestArtefactMachine = Artefacts.TestCase
TestArtefactMachine.settings = settings(max_examples=25, stateful_step_count=15, deadline=None)
