"""Artefacts on HDFS: the layout of a local folder, and its guarantees.

    store = HdfsArtefacts("webhdfs://edgebed@namenode-1:9870,namenode-2:9870/edgebed")

A file is written below `.unfinished`, under a name that nobody else has, and then takes its place in one step that HDFS makes
whole or not at all, in place of the old file where there is one; the manifest comes last. So it does not matter at which
instant a publisher, the namenode or a datanode ends: there is the old artefact or the new one, and what is left over lies in
`.unfinished`, from where the next publisher takes it after a day.

Publishing f files costs 3 f + 4 requests, reading a file or a manifest 2 (the namenode, and the datanode that it names).
"""

import posixpath
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any

from edgebed.experiment.errors import EnvironmentFault
from edgebed.stores.artefacts import (
    MANIFEST,
    SETTING,
    Artefact,
    ArtefactError,
    ArtefactStore,
    checked_name,
    described,
    is_name,
    parsed,
    stored_as,
)
from edgebed.stores.webhdfs import CONNECT_S, READ_S, WebHdfs

UNFINISHED = ".unfinished"
"""No name of an artefact begins with a dot."""
LEFT_OVER_S = 86_400.0
"""So old, a file there is nobody's any more."""


class HdfsArtefacts(ArtefactStore):
    """Artefacts below a folder of HDFS, each in the folder of its name."""

    def __init__(self, url: str, connect_s: float = CONNECT_S, read_s: float = READ_S) -> None:
        """Connects when it is first used. Raises UserError for a wrong URL."""
        self._hdfs = WebHdfs(url, SETTING, connect_s, read_s)
        self._swept = False

    def publish(self, name: str, files: Mapping[str, bytes], about: Mapping[str, Any]) -> Artefact:
        """As in `ArtefactStore`."""
        place = checked_name(name)
        artefact = described(name, files, about, self._loader(name))
        contents = {f"{place}/{stored_as(file, artefact.files[file])}": content for file, content in files.items()}
        contents[f"{place}/{MANIFEST}"] = artefact.manifest()
        self._sweep()
        for folder in sorted({posixpath.dirname(path) for path in contents}):
            self._hdfs.make_folder(folder)
        for path, content in contents.items():
            # Written even where the name is taken: the content there may be damaged.
            self._put(path, content)
        return artefact

    def open(self, name: str) -> Artefact:
        """As in `ArtefactStore`."""
        path = f"{checked_name(name)}/{MANIFEST}"
        text = self._hdfs.read(path)
        if text is None:
            raise ArtefactError(f"there is no artefact {name} in {self._hdfs.place}; publish it first")
        return parsed(name, text, f"{self._hdfs.place}/{path}", self._loader(name))

    def names(self, prefix: str = "") -> list[str]:
        """As in `ArtefactStore`. A request for each folder that may hold such a name, and no other."""
        base = posixpath.dirname(prefix)
        if base and not is_name(base):
            return []
        found, folders = [], [base]
        while folders:
            folder = folders.pop()
            for entry in self._hdfs.entries(folder):
                path = posixpath.join(folder, entry.name)
                if entry.folder and path.startswith(prefix) and is_name(entry.name):
                    folders.append(path)
                elif entry.name == MANIFEST and folder and folder.startswith(prefix):
                    found.append(folder)
        return sorted(found)

    def probe(self) -> str:
        """As in `ArtefactStore`."""
        path, content = f"{UNFINISHED}/probe.{secrets.token_hex(8)}", secrets.token_bytes(1024)
        begin = time.perf_counter()
        self._hdfs.write(path, content)
        if self._hdfs.read(path) != content:
            raise EnvironmentFault(
                f"{self._hdfs.place}: what was written is read as something else; check its datanodes"
            )
        self._hdfs.delete(path)
        took_s = time.perf_counter() - begin
        return f"{self._hdfs.place}: {self._hdfs.health()}; written, read and deleted in {took_s * 1000:.0f} ms"

    def _put(self, path: str, content: bytes) -> None:
        unfinished = f"{UNFINISHED}/{posixpath.basename(path)}.{secrets.token_hex(8)}"
        self._hdfs.write(unfinished, content)
        self._hdfs.replace(unfinished, path)

    def _sweep(self) -> None:
        """Once, takes away what publishers that were killed have left."""
        if not self._swept:
            for entry in self._hdfs.entries(UNFINISHED):
                if entry.modified_s < time.time() - LEFT_OVER_S:
                    self._hdfs.delete(f"{UNFINISHED}/{entry.name}")
            self._swept = True

    def _loader(self, name: str) -> Callable[[str], bytes]:
        def load(stored: str) -> bytes:
            content = self._hdfs.read(f"{name}/{stored}")
            if content is None:
                said = f"{self._hdfs.place}/{name}/{stored} cannot be read (it is not there)"
                raise ArtefactError(f"artefact {name}: {said}; publish it again")
            return content

        return load
