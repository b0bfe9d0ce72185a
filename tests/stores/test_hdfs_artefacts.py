"""Artefacts on a real HDFS: the suite, crashes at every step, and what people are told."""

import pytest

from edgebed.stores.hdfs_artefacts import HdfsArtefacts
from tests.stores import hdfs_server
from tests.stores.artefact_suite import ArtefactSuite


@pytest.fixture
def folder():
    found = hdfs_server.folder()
    yield found
    found.delete()


def stored(folder, name, file):
    """Where a file lies."""
    stem, _, ending = (file or "manifest.json").partition(".")
    paths = [path.rpartition("/")[2] for path in folder.paths(name)]
    found = [path for path in paths if path.startswith(stem) and path.endswith(ending)]
    assert len(found) == 1
    return f"{name}/{found[0]}"


class TestHdfs(ArtefactSuite):
    @pytest.fixture
    def store(self, folder):
        self.folder = folder
        return HdfsArtefacts(folder.url)

    def again(self, store):
        return HdfsArtefacts(self.folder.url)

    def damage(self, store, name, file, change):
        path = stored(self.folder, name, file)
        if change is None:
            self.folder.delete(path)
        else:
            self.folder.write(path, change(self.folder.read(path)))
