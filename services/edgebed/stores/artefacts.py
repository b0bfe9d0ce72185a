"""Artefacts: models, logs and figures as folders of files with a manifest, whole or not there.

    store = open_artefacts("file:artefacts")
    store.publish("models/run-1/v3", {"actor.safetensors": data}, about={"algorithm": "ppo"})
    store.open("models/run-1/v3").read("actor.safetensors")       # checked against the manifest's SHA-256

Published in one order everywhere: files under a temporary name, checksums, rename, and the manifest last. A reader that
finds a manifest finds what it names. Publishing the same name again replaces the artefact: the files have their content's
checksum in their names, so whoever opened the old one can still read it, and a publisher that is killed leaves it as it was.
"""

import hashlib
import json
import re
import secrets
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgebed.experiment.errors import EnvironmentFault, Problem, UserError
from edgebed.experiment.files import canonical
from edgebed.stores import disk

SETTING = "EDGEBED_ARTEFACTS"
MANIFEST = "manifest.json"
FORMAT = 1
_PART = r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}"
_NAME = re.compile(rf"{_PART}(/{_PART})*\Z")
_FILE = _NAME
"""A file may be in folders of the artefact: `inputs/network.json`."""


class ArtefactError(EnvironmentFault):
    """An artefact that is not there, damaged, or of a format that is not known."""


class StoreAway(EnvironmentFault):
    """A store that does not answer, or cannot do its work at present; the same call may be made again, see `patience`."""


@dataclass(frozen=True)
class Artefact:
    """One published artefact, as its manifest says."""

    name: str
    about: Mapping[str, Any]
    """What was published with it, as JSON."""
    files: Mapping[str, str]
    """File name to SHA-256."""
    _load: Callable[[str], bytes]
    """Gives the content of a file by the name under which it lies, see `stored_as`."""

    @property
    def digest(self) -> str:
        """SHA-256 of what was published: equal when the files and what was said about them are equal."""
        return hashlib.sha256(canonical({"about": self.about, "files": self.files})).hexdigest()

    def read(self, file: str) -> bytes:
        """A file's content. Raises ArtefactError when it is not there, or not what the manifest says."""
        if file not in self.files:
            raise ArtefactError(f"artefact {self.name} has no file {file}; it has {', '.join(sorted(self.files))}")
        content = self._load(stored_as(file, self.files[file]))
        found = hashlib.sha256(content).hexdigest()
        if found != self.files[file]:
            said = f"{file} is damaged: its SHA-256 is {found}, the manifest says {self.files[file]}"
            raise ArtefactError(f"artefact {self.name}: {said}; publish it again")
        return content

    def manifest(self) -> bytes:
        """The manifest's text, for people too."""
        document = {
            "format": FORMAT,
            "name": self.name,
            "about": self.about,
            "files": self.files,
            "digest": self.digest,
        }
        return (json.dumps(document, sort_keys=True, indent=1, allow_nan=False) + "\n").encode()


class ArtefactStore(ABC):
    """What every store of artefacts does. Names are like `models/run-1/v3`."""

    @abstractmethod
    def publish(self, name: str, files: Mapping[str, bytes], about: Mapping[str, Any]) -> Artefact:
        """Makes the artefact visible as a whole, in place of what had its name.

        Raises EnvironmentFault when the store is away or full; then what was there is there still.
        """

    @abstractmethod
    def open(self, name: str) -> Artefact:
        """An artefact by name. Raises ArtefactError when there is none, or its manifest is damaged."""

    @abstractmethod
    def names(self, prefix: str = "") -> list[str]:
        """Names of the artefacts that begin with `prefix`, sorted."""

    @abstractmethod
    def probe(self) -> str:
        """Writes, reads and deletes something; says in a sentence what was found. Raises EnvironmentFault, with the remedy."""


class LocalArtefacts(ArtefactStore):
    """Artefacts below a folder, each in the folder of its name."""

    def __init__(self, folder: Path) -> None:
        """Makes the folder. Raises EnvironmentFault when it cannot be made."""
        self._folder = folder
        disk.make_folder(folder, SETTING)

    def publish(self, name: str, files: Mapping[str, bytes], about: Mapping[str, Any]) -> Artefact:
        """As in `ArtefactStore`."""
        place = self._place(name)
        artefact = described(name, files, about, self._loader(name, place))
        manifest = artefact.manifest()  # first: what is no JSON is refused before anything is written
        with disk.faults(self._folder, SETTING):
            disk.make_folder(place, SETTING)
            for file, content in files.items():
                # Written even where the name is taken: a crash of the machine may have left another content there.
                disk.write(place / stored_as(file, artefact.files[file]), content, SETTING)
            disk.write(place / MANIFEST, manifest, SETTING)
        return artefact

    def open(self, name: str) -> Artefact:
        """As in `ArtefactStore`."""
        place = self._place(name)
        try:
            text = (place / MANIFEST).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            raise ArtefactError(f"there is no artefact {name} in {self._folder}; publish it first") from None
        except OSError as error:
            reason = error.strerror or error
            raise ArtefactError(f"{place / MANIFEST} cannot be read ({reason}); make it readable") from error
        return parsed(name, text, str(place / MANIFEST), self._loader(name, place))

    def names(self, prefix: str = "") -> list[str]:
        """As in `ArtefactStore`."""
        found = (path.parent.relative_to(self._folder).as_posix() for path in self._folder.rglob(MANIFEST))
        return sorted(name for name in found if name.startswith(prefix))

    def probe(self) -> str:
        """As in `ArtefactStore`."""
        path, content = self._folder / f".probe-{secrets.token_hex(8)}", secrets.token_bytes(1024)
        disk.write(path, content, SETTING)
        with disk.faults(self._folder, SETTING):
            same = path.read_bytes() == content
            path.unlink()
            free = shutil.disk_usage(self._folder).free
        if not same:
            raise EnvironmentFault(f"{self._folder}: what was written is read as something else; check its disk")
        return f"folder {self._folder}: written, read and deleted; {free / 1e9:.1f} GB left"

    def _place(self, name: str) -> Path:
        return self._folder / checked_name(name)

    @staticmethod
    def _loader(name: str, place: Path) -> Callable[[str], bytes]:
        def load(stored: str) -> bytes:
            try:
                return (place / stored).read_bytes()
            except OSError as error:
                said = f"{place / stored} cannot be read ({error.strerror or error})"
                raise ArtefactError(f"artefact {name}: {said}; publish it again") from error

        return load


def described(
    name: str, files: Mapping[str, bytes], about: Mapping[str, Any], load: Callable[[str], bytes]
) -> Artefact:
    """The artefact that these files will be. Raises UserError for a name, or for words that are no JSON."""
    for file in files:
        if not _FILE.match(file):
            remedy = "give letters, digits, . _ + -, at most 100, and / between folders"
            raise UserError(Problem(f"artefact {name}", f"{file!r} is not a file name", remedy))
    try:
        about = json.loads(canonical(about))  # as a reader will see it, and nobody changes it
    except (TypeError, ValueError) as error:
        raise UserError(Problem(f"artefact {name}: about", f"{error}", "give finite JSON")) from error
    return Artefact(name, about, {file: hashlib.sha256(content).hexdigest() for file, content in files.items()}, load)


def parsed(name: str, text: bytes, where: str, load: Callable[[str], bytes]) -> Artefact:
    """The artefact of a manifest. Raises ArtefactError for a manifest that is damaged or not ours."""
    try:
        document = json.loads(text)
    except ValueError as error:
        raise ArtefactError(f"{where} is damaged ({error}); publish the artefact again") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ArtefactError(f"{where} is not a manifest of format {FORMAT}; publish the artefact again")
    files, about = document.get("files"), document.get("about")
    if isinstance(about, dict) and isinstance(files, dict) and all(_FILE.match(file) for file in files):
        artefact = Artefact(name, about, files, load)
        if artefact.digest == document.get("digest"):
            return artefact
    raise ArtefactError(f"{where} is damaged (its digest is another); publish the artefact again")


def is_name(text: str) -> bool:
    """Whether an artefact may be called so."""
    return _NAME.match(text) is not None and MANIFEST not in text.split("/")


def checked_name(name: str) -> str:
    """The name of an artefact. Raises UserError for what is none."""
    if not is_name(name):
        remedy = "give letters, digits, . _ + -, and / between parts of at most 100"
        raise UserError(Problem("artefact", f"{name!r} is not a name", remedy))
    return name


def stored_as(file: str, digest: str) -> str:
    """The name under which a file lies: with its checksum before its ending, so that people still see what it is."""
    path = Path(file)
    return f"{path.stem}.{digest[:32]}{path.suffix}"


def open_artefacts(url: str) -> ArtefactStore:
    """The store of a URL: file:FOLDER, or webhdfs://USER@NAMENODE:9870/FOLDER. Raises UserError for another kind."""
    kind, _, rest = url.partition(":")
    if kind == "webhdfs":
        try:
            from edgebed.stores.hdfs_artefacts import HdfsArtefacts  # needs what only those install who use it
        except ModuleNotFoundError as error:
            remedy = "install edgebed[hdfs] (pip install 'edgebed[hdfs]')"
            raise UserError(Problem(SETTING, f"HDFS needs the package {error.name}", remedy)) from error
        return HdfsArtefacts(url)
    folder = rest.removeprefix("//")
    if kind != "file" or not folder:
        shown = url.rpartition("@")[2] if "@" in url else url
        remedy = "give file:FOLDER, or webhdfs://USER@NAMENODE:9870/FOLDER"
        raise UserError(Problem(SETTING, f"{shown!r} is not allowed", remedy))
    return LocalArtefacts(Path(folder))
