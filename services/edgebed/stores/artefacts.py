"""Artefacts: models, logs and figures as folders of files with a manifest, whole or not there.

    store = open_artefacts("file:artefacts")
    store.publish("models/run-1/v3", {"actor.safetensors": data}, about={"algorithm": "ppo"})
    store.open("models/run-1/v3").read("actor.safetensors")       # checked against the manifest's SHA-256

Published in one order everywhere: files under a temporary name, checksums, rename, and the manifest last. A reader that
finds a manifest finds what it names. Publishing the same name again replaces the artefact: readers see the old or the new.
"""

import hashlib
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgebed.experiment.errors import EnvironmentFault, Problem, UserError
from edgebed.experiment.files import faults, write_atomically

MANIFEST = "manifest.json"
FORMAT = 1
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*(/[A-Za-z0-9][A-Za-z0-9._+-]*)*\Z")


class ArtefactError(EnvironmentFault):
    """An artefact that is not there, damaged, or of a format that is not known."""


@dataclass(frozen=True)
class Artefact:
    """One published artefact."""

    name: str
    about: Mapping[str, Any]
    """What was published with it, as JSON."""
    files: Mapping[str, str]
    """File name to SHA-256."""
    _load: Callable[[str], bytes]

    def read(self, file: str) -> bytes:
        """A file's content. Raises ArtefactError when it is not there, or not what the manifest says."""
        if file not in self.files:
            raise ArtefactError(f"artefact {self.name} has no file {file}; it has {', '.join(sorted(self.files))}")
        content = self._load(self.files[file])
        found = hashlib.sha256(content).hexdigest()
        if found != self.files[file]:
            said = f"{file} is damaged: its SHA-256 is {found}, the manifest says {self.files[file]}"
            raise ArtefactError(f"artefact {self.name}: {said}; publish it again")
        return content


class ArtefactStore(ABC):
    """What every store of artefacts does. Names are like `models/run-1/v3`."""

    @abstractmethod
    def publish(self, name: str, files: Mapping[str, bytes], about: Mapping[str, Any]) -> Artefact:
        """Makes the artefact visible as a whole. Raises EnvironmentFault when the store is away or full."""

    @abstractmethod
    def open(self, name: str) -> Artefact:
        """An artefact by name. Raises ArtefactError when there is none, or its manifest is damaged."""

    @abstractmethod
    def names(self, prefix: str = "") -> list[str]:
        """Names of the artefacts that begin with `prefix`, sorted."""


class LocalArtefacts(ArtefactStore):
    """Artefacts below a folder. A file's content lies under its SHA-256, so replacing an artefact disturbs no reader."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with faults(folder):
            folder.mkdir(parents=True, exist_ok=True)

    def publish(self, name: str, files: Mapping[str, bytes], about: Mapping[str, Any]) -> Artefact:
        """As in `ArtefactStore`."""
        place = self._place(name)
        digests = {}
        with faults(self._folder):
            place.mkdir(parents=True, exist_ok=True)
            for file, content in files.items():
                digest = hashlib.sha256(content).hexdigest()
                digests[file] = digest
                # Written even where the name is taken: a crash of the machine may have left another content there.
                write_atomically(place / f"{digest}.bin", content)
            manifest = {"format": FORMAT, "name": name, "about": about, "files": digests}
            text = json.dumps(manifest, sort_keys=True, indent=1, allow_nan=False)
            write_atomically(place / MANIFEST, text.encode())
        return self.open(name)

    def open(self, name: str) -> Artefact:
        """As in `ArtefactStore`."""
        place = self._place(name)
        path = place / MANIFEST
        try:
            manifest = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ArtefactError(f"there is no artefact {name} in {self._folder}; publish it first") from None
        except ValueError as error:
            raise ArtefactError(f"{path} is damaged ({error}); publish the artefact again") from error
        except OSError as error:
            raise ArtefactError(f"{path} cannot be read ({error.strerror or error}); make it readable") from error
        if (
            not isinstance(manifest, dict)
            or manifest.get("format") != FORMAT
            or not isinstance(manifest.get("files"), dict)
        ):
            raise ArtefactError(f"{path} is not a manifest of format {FORMAT}; publish the artefact again")

        def load(digest: str) -> bytes:
            file = place / f"{digest}.bin"
            try:
                return file.read_bytes()
            except OSError as error:
                said = f"{file} cannot be read ({error.strerror or error})"
                raise ArtefactError(f"artefact {name}: {said}; publish it again") from error

        return Artefact(name, manifest.get("about", {}), manifest["files"], load)

    def names(self, prefix: str = "") -> list[str]:
        """As in `ArtefactStore`."""
        found = (path.parent.relative_to(self._folder).as_posix() for path in self._folder.rglob(MANIFEST))
        return sorted(name for name in found if name.startswith(prefix))

    def _place(self, name: str) -> Path:
        if not _NAME.match(name) or ".." in name:
            remedy = "give letters, digits, . _ + -, and / between parts"
            raise UserError(Problem("artefact", f"{name!r} is not a name", remedy))
        return self._folder / name


def open_artefacts(url: str) -> ArtefactStore:
    """The store of a URL such as file:artefacts or file:/var/lib/edgebed. Raises UserError for another kind."""
    kind, _, rest = url.partition(":")
    if kind != "file" or not rest:
        raise UserError(Problem("EDGEBED_ARTEFACTS", f"{url!r} is not allowed", "give file:FOLDER"))
    return LocalArtefacts(Path(rest.removeprefix("//")))
