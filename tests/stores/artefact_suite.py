"""What every store of artefacts must do. A backend subclasses it, and gives `store`, `contents` and `damage`."""

import hashlib
import threading
from abc import ABC, abstractmethod

import pytest

from edgebed.experiment.errors import UserError
from edgebed.stores.artefacts import ArtefactError

NAME = "models/run-1/v3"
FILES = {"actor.safetensors": bytes(range(256)) * 40, "notes.txt": "ä".encode(), "empty": b""}
ABOUT = {"algorithm": "ppo", "seed": 3, "share": 0.1, "names": ["ä", None]}


class ArtefactSuite(ABC):
    """Subclasses have a fixture `store`, which is empty."""

    @abstractmethod
    def again(self, store):
        """Another store over the same place, as another process has it."""

    @abstractmethod
    def damage(self, store, name, file, change):
        """Replaces the stored bytes of a file, or of the manifest where `file` is None, by change(bytes); deletes for None."""

    def test_what_is_published_is_there(self, store):
        """Files, what was said about them, and a digest, for this reader and any other."""
        published = store.publish(NAME, FILES, ABOUT)
        for artefact in (published, store.open(NAME), self.again(store).open(NAME)):
            assert artefact.name == NAME
            assert artefact.about == ABOUT
            assert {file: artefact.read(file) for file in artefact.files} == FILES
            assert artefact.files == {file: hashlib.sha256(content).hexdigest() for file, content in FILES.items()}
            assert artefact.digest == published.digest

    def test_the_digest_is_of_what_was_published(self, store):
        """Equal under another name; another for one more bit, another word, or another file name."""
        digest = store.publish(NAME, FILES, ABOUT).digest
        assert (
            store.publish("models/other", dict(reversed(FILES.items())), dict(reversed(ABOUT.items()))).digest == digest
        )
        others = [
            store.publish(NAME, FILES | {"empty": b"x"}, ABOUT),
            store.publish(NAME, FILES, ABOUT | {"seed": 4}),
            store.publish(NAME, {"x": b""}, {}),
            store.publish(NAME, {"y": b""}, {}),
        ]
        assert len({digest, *(other.digest for other in others)}) == 5

    def test_names_are_found_by_their_beginning(self, store):
        """Sorted; an artefact may have others below its name."""
        for name in ("b", "models/run-1/v2", "models/run-1", "models/run-10/v1", "a/b"):
            store.publish(name, {}, {})
        assert store.names() == ["a/b", "b", "models/run-1", "models/run-1/v2", "models/run-10/v1"]
        assert store.names("models/run-1/") == ["models/run-1/v2"]
        assert store.names("c") == []
        assert self.again(store).names("models/run-10") == ["models/run-10/v1"]

    def test_published_again_it_is_replaced(self, store):
        """Later readers see the new one only; whoever opened the old one still has it."""
        store.publish(NAME, FILES, ABOUT)
        old = self.again(store).open(NAME)
        store.publish(NAME, {"actor.safetensors": b"new"}, {})
        new = self.again(store).open(NAME)
        assert (new.files.keys(), new.about, new.read("actor.safetensors")) == ({"actor.safetensors"}, {}, b"new")
        assert {file: old.read(file) for file in old.files} == FILES
        assert store.names() == [NAME]

    def test_a_name_that_is_not_there_is_named(self, store):
        store.publish(NAME, FILES, ABOUT)
        for name in ("models", "models/run-1", f"{NAME}/x"):
            with pytest.raises(ArtefactError, match=f"there is no artefact {name} in .*; publish it first"):
                store.open(name)
        with pytest.raises(ArtefactError, match=r"no file x; it has actor.safetensors, empty, notes.txt"):
            store.open(NAME).read("x")

    @pytest.mark.parametrize(
        "name", ["", "/", "a/", "/a", "a//b", "..", "a/../b", "a b", "ä", ".a", "a\n", "a/manifest.json", "x" * 101]
    )
    def test_what_is_no_name_is_refused(self, store, name):
        """Before anything is written; nothing outside the store can be named."""
        for work in (lambda: store.publish(name, {}, {}), lambda: store.open(name)):
            with pytest.raises(UserError, match="is not a name"):
                work()
        assert store.names() == []

    def test_a_file_may_lie_in_a_folder_of_the_artefact(self, store):
        """As an experiment's inputs do."""
        store.publish("x/experiment", {"experiment.yaml": b"a", "inputs/network.json": b"b"}, {})
        there = store.open("x/experiment")
        assert {name: there.read(name) for name in there.files} == {
            "experiment.yaml": b"a",
            "inputs/network.json": b"b",
        }

    @pytest.mark.parametrize("file", ["", "/a", "a//b", "a/../b", "../x", "a b", "x" * 101])
    def test_what_is_no_file_name_is_refused(self, store, file):
        with pytest.raises(UserError, match="is not a file name"):
            store.publish(NAME, {"good": b"", file: b""}, {})
        assert store.names() == []

    @pytest.mark.parametrize(
        "about", [{"x": float("nan")}, {"x": object()}, {"x": b""}], ids=["nan", "object", "bytes"]
    )
    def test_what_is_no_json_is_refused(self, store, about):
        """And what had the name is there still."""
        store.publish(NAME, FILES, ABOUT)
        with pytest.raises(UserError, match="about"):
            store.publish(NAME, {}, about)
        assert store.open(NAME).about == ABOUT

    def test_what_was_said_cannot_be_changed_afterwards(self, store):
        """An artefact is a value: a caller who goes on with his mapping does not change it."""
        about = {"seeds": [1]}
        artefact = store.publish(NAME, {}, about)
        about["seeds"].append(2)
        assert artefact.about == store.open(NAME).about == {"seeds": [1]}

    @pytest.mark.parametrize(
        "change",
        [
            lambda b: b[:-1],
            lambda b: b + b"x",
            lambda b: bytes([b[0] ^ 1]) + b[1:],
            lambda b: b[1:] + b[:1],
            lambda _: b"",
        ],
        ids=["cut", "longer", "bit", "turned", "empty"],
    )
    def test_a_damaged_file_is_noticed(self, store, change):
        """By whoever reads it, with what to do; the other files are still good; published again, it is mended."""
        store.publish(NAME, FILES, ABOUT)
        self.damage(store, NAME, "actor.safetensors", change)
        artefact = store.open(NAME)
        with pytest.raises(ArtefactError, match=r"actor.safetensors is damaged: its SHA-256 is .*; publish it again"):
            artefact.read("actor.safetensors")
        assert artefact.read("notes.txt") == FILES["notes.txt"]
        store.publish(NAME, FILES, ABOUT)
        assert store.open(NAME).read("actor.safetensors") == FILES["actor.safetensors"]

    def test_a_file_that_is_gone_is_noticed(self, store):
        store.publish(NAME, FILES, ABOUT)
        self.damage(store, NAME, "notes.txt", None)
        with pytest.raises(ArtefactError, match=r"cannot be read.*publish it again"):
            store.open(NAME).read("notes.txt")

    @pytest.mark.parametrize(
        "change",
        [
            lambda _: b"",
            lambda b: b[: len(b) // 2],
            lambda _: b"[]",
            lambda _: b"\xff",
            lambda b: b.replace(b'"format": 1', b'"format": 2'),
            lambda b: b.replace(b'"ppo"', b'"sac"'),
            lambda b: b.replace(b'"files": {', b'"files": [], "x": {'),
            lambda b: b.replace(b"notes.txt", b"../etc/pw"),
        ],
        ids=["empty", "cut", "list", "bytes", "format", "about", "files", "path"],
    )
    def test_a_damaged_manifest_is_noticed(self, store, change):
        """No reader takes a model for another; published again, it is mended."""
        store.publish(NAME, FILES, ABOUT)
        self.damage(store, NAME, None, change)
        with pytest.raises(ArtefactError, match=r"manifest.*publish the artefact again"):
            store.open(NAME)
        store.publish(NAME, FILES, ABOUT)
        assert store.open(NAME).about == ABOUT

    def test_readers_and_publishers_at_once(self, store):
        """Whatever a reader opens is one of the published artefacts, whole."""
        versions = [{"model": bytes([n]) * 20_000, "twin": bytes([n])} for n in range(8)]
        store.publish(NAME, versions[0], {"n": 0})
        errors, done = [], threading.Event()

        def read(reader):
            while not done.is_set():
                artefact = reader.open(NAME)
                n = artefact.about["n"]
                if {file: artefact.read(file) for file in artefact.files} != versions[n]:
                    errors.append(n)

        def publish(writer, numbers):
            for n in numbers:
                writer.publish(NAME, versions[n], {"n": n})

        def guarded(work, *arguments):
            try:
                work(*arguments)
            except Exception as error:
                errors.append(error)

        readers = [threading.Thread(target=guarded, args=(read, self.again(store))) for _ in range(2)]
        writers = [threading.Thread(target=guarded, args=(publish, self.again(store), range(k, 8, 2))) for k in (0, 1)]
        for thread in (*readers, *writers):
            thread.start()
        for thread in writers:
            thread.join()
        done.set()
        for thread in readers:
            thread.join()
        assert not errors
