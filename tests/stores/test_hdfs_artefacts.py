"""Artefacts on a real HDFS: the suite, crashes at every step, what is left over, and how much is asked."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgebed.experiment.errors import UserError
from edgebed.stores.artefacts import open_artefacts
from edgebed.stores.hdfs_artefacts import LEFT_OVER_S, HdfsArtefacts
from tests.stores import hdfs_server
from tests.stores.artefact_suite import ABOUT, FILES, NAME, ArtefactSuite
from tests.stores.kill import environment, killed_at_every_step

LATER = {"actor.safetensors": b"later" * 1000, "notes.txt": FILES["notes.txt"]}
_requests: list[bytes] = []


def count_requests(event, arguments):
    if event == "http.client.send" and arguments[1][:4] in (b"GET ", b"PUT ", b"POST", b"DELE"):
        _requests.append(arguments[1].split(b"\r\n")[0])


sys.addaudithook(count_requests)


@pytest.fixture
def folder():
    found = hdfs_server.folder()
    yield found
    found.delete()


class TestHdfs(ArtefactSuite):
    @pytest.fixture
    def store(self, folder):
        self.folder = folder
        return HdfsArtefacts(folder.url)

    def again(self, store):
        return HdfsArtefacts(self.folder.url)

    def damage(self, store, name, file, change):
        path = self.folder.stored(name, file)
        if change is None:
            self.folder.delete(path)
        else:
            self.folder.write(path, change(self.folder.read(path)))


def test_people_find_their_files(folder):
    """As in a local folder: a folder per artefact, in it a readable manifest and files that keep their names' ends."""
    open_artefacts(folder.url).publish("figures/run-1", {"delay.svg": b"<svg/>"}, {"figure": 5})
    names = [path.removeprefix("figures/run-1/") for path in folder.paths()]
    assert [(name.partition(".")[0], name.rpartition(".")[2]) for name in names] == [
        ("delay", "svg"),
        ("manifest", "json"),
    ]
    assert b'"figure": 5' in folder.read("figures/run-1/manifest.json")


def publish_first(name, arm):
    store = HdfsArtefacts(hdfs_server.Folder(os.environ["EDGEBED_TEST_HDFS_URL"], str(name)).url)
    arm()
    store.publish(NAME, FILES, ABOUT)


def publish_later(name, arm):
    store = HdfsArtefacts(hdfs_server.Folder(os.environ["EDGEBED_TEST_HDFS_URL"], str(name)).url)
    store.publish(NAME, FILES, ABOUT)
    arm()
    store.publish(NAME, LATER, {})


@pytest.mark.parametrize("act", [publish_first, publish_later], ids=["new", "again"])
def test_killed_while_it_publishes(folder, monkeypatch, act):
    """At whatever instant: the artefact is as before, or as published, whole; and it can be published again."""
    monkeypatch.setenv("EDGEBED_TEST_HDFS_URL", f"http://{folder.namenode}")
    seen = []
    for count in range(1, killed_at_every_step(act, Path(folder.name)) + 1):
        store = HdfsArtefacts(f"{folder.url}/{count}")
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
    assert len(seen) > 15
    assert set(seen) == {before, after}


def test_what_a_killed_publisher_left_is_taken_away_after_a_day(folder):
    """And not before: it may be somebody's who is at work."""
    folder.write(".unfinished/old.0123", b"half")
    folder.write(".unfinished/new.4567", b"half")
    now_ms = folder.client.status(f"{folder.path}/.unfinished/new.4567")["modificationTime"]
    folder.client.set_times(
        f"{folder.path}/.unfinished/old.0123", modification_time=int(now_ms - 1000 * (LEFT_OVER_S + 600))
    )
    store = HdfsArtefacts(folder.url)
    assert store.names() == []
    store.publish("a", {}, {})
    assert folder.paths(".unfinished") == [".unfinished/new.4567"]


@pytest.mark.parametrize("files", [0, 1, 3])
def test_few_requests(folder, files):
    """3 f + 4 to publish f files, 2 for each thing read; a name is looked for where it may be, not in the whole tree."""
    store = HdfsArtefacts(folder.url)
    for other in ("models/run-1/v1", "models/run-1/v2", "models/run-10/v1", "figures/run-1"):
        store.publish(other, {}, {})

    def asked(work):
        _requests.clear()
        work()
        return len(_requests)

    assert asked(lambda: store.publish(NAME, {f"x{k}": b"x" for k in range(files)}, {})) == 3 * files + 4
    assert asked(lambda: [store.open(NAME).read(f"x{k}") for k in range(files)]) == 4 * files
    assert asked(lambda: store.open(NAME)) == 2
    assert asked(lambda: store.names("models/run-10/")) == 2
    assert asked(lambda: store.names("models/run-10")) == 3


def test_it_says_how_it_is(folder):
    """A person learns which namenode is active, how many datanodes there are, and how much space; nothing is left over."""
    said = HdfsArtefacts(folder.url).probe()
    assert f"namenode {folder.namenode} is active, 1 datanodes live" in said
    assert " GB left; written, read and deleted in " in said
    assert folder.paths() == []


@pytest.mark.parametrize(
    "url",
    [
        "webhdfs:",
        "webhdfs://",
        "webhdfs://namenode:9870/x",
        "webhdfs://u@namenode:9870",
        "webhdfs://u@namenode:9870/",
        "webhdfs://u@namenode:port/x",
        "webhdfs://u@namenode,/x",
        "webhdfs://u@namenode/x/../y",
        "webhdfs://u@namenode/#LATEST",
        "webhdfs://u:secret@namenode/x",
    ],
)
def test_another_url_is_refused(url):
    """With what would be right, and without what may be a password."""
    with pytest.raises(UserError, match=r"EDGEBED_ARTEFACTS: .* give webhdfs://USER@NAMENODE:9870/FOLDER") as caught:
        open_artefacts(url)
    assert "secret" not in str(caught.value)


def test_without_the_package_people_learn_what_to_install(tmp_path):
    """And who keeps artefacts in a folder needs none of it."""
    program = (
        "import sys; from edgebed.stores.artefacts import open_artefacts; open_artefacts('file:' + sys.argv[1]);"
        "print(sorted({'hdfs', 'requests'} & set(sys.modules)));"
        "sys.modules['hdfs'] = None; open_artefacts('webhdfs://u@namenode/x')"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "artefacts")]
    done = subprocess.run(command, check=False, env=environment(), capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]"
    assert "EDGEBED_ARTEFACTS: HDFS needs the package hdfs; install edgebed[hdfs]" in done.stderr


def test_a_namenode_has_a_port_by_default():
    """9870 is where a namenode listens."""
    store = HdfsArtefacts("webhdfs://u@one,two:5000/a/b/")
    assert store._hdfs.place.namenodes == ("one:9870", "two:5000")
    assert store._hdfs.place.folder == "/a/b"
