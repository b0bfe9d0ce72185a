"""What a service uses of a configuration: the last text that was good, and why a later one was refused.

    probing = InUse(EdgeNodeSettings)
    probing.values.probe_timeout_seconds              # anywhere, at any time: the values are replaced as a whole
    probing.take(text, version)                       # False when it is refused; then nothing has changed

`Cache` keeps the last good texts on the disk, for a start at which nobody can say what is published.
"""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, TypeVar

from edgebed.experiment.document import Document
from edgebed.experiment.errors import EnvironmentFault, UserError
from edgebed.experiment.files import canonical
from edgebed.live.documents import DEFAULT_TEXTS, DOCUMENTS, read
from edgebed.stores.disk import make_folder, write

SETTING = "EDGEBED_CACHE"

_log = logging.getLogger(__name__)
_KEYS = {model: key for key, model in DOCUMENTS.items()}
D = TypeVar("D", bound=Document)


class InUse(Generic[D]):
    """One document as one service has it; changed from one thread, read from any."""

    def __init__(self, model: type[D], *apply: Callable[[D], None]) -> None:
        """`apply` are called with values before they are in use; they raise UserError for values that cannot be."""
        self.model, self.key = model, _KEYS[model]
        self._apply = apply
        self._text: str | None = None
        self.values = model()
        """What holds now; the defaults as long as nothing else is known."""
        self.version = 0
        """Of the values; 0 for the defaults."""
        self.refused: str | None = None
        """Why the text that is published is not in use."""
        self.from_cache = False
        """Whether the values are those of an earlier time, because nobody could say what is published."""

    def also(self, apply: Callable[[D], None]) -> None:
        """Calls this, too, from the next values on."""
        self._apply = (*self._apply, apply)

    def take(self, text: str, version: int, *, from_cache: bool = False) -> bool:
        """Puts a text in use, unless it is refused; the one before stays then."""
        if text != self._text:
            try:
                values = read(self.key, text)
                assert isinstance(values, self.model)  # the one of its key
                for apply in self._apply:
                    apply(values)
            except UserError as error:
                self.refused = f"version {version} is not in use: {error}"
                _log.error("configuration %s stays at version %s; %s", self.key, self.version, self.refused)
                return False
            self._text, self.values = text, values
            _log.info("configuration %s is in use in version %s", self.key, version)
        self.version, self.refused, self.from_cache = version, None, from_cache
        return True

    def shown(self) -> dict[str, Any]:
        """For people, as JSON."""
        return {
            "version": self.version,
            "values": self.values.model_dump(mode="json", by_alias=True),
            "refused": self.refused,
            "fromCache": self.from_cache,
        }


class Cache:
    """The last good text of each key in a folder, which services of one machine may share."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "configuration"

    def find(self, key: str) -> tuple[str, int] | None:
        """Text and version; None where there is none that could be used."""
        path = self._folder / f"{key}.json"
        try:
            found = json.loads(path.read_bytes())
            text, version = str(found["text"]), int(found["version"])
            read(key, text)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, UserError) as error:
            _log.warning("%s is of no use (%s); it is written again with the next configuration", path, error)
            return None
        return text, version

    def lacks(self, key: str, text: str, version: int) -> bool:
        """Whether a good text is to be kept; not if it is there, nor the defaults where nothing is."""
        try:
            return (self._folder / f"{key}.json").read_bytes() != _content(key, text, version)
        except FileNotFoundError:
            return text != DEFAULT_TEXTS[key]
        except OSError:
            return True

    def keep(self, key: str, text: str, version: int) -> None:
        """Writes a good text. A disk that takes nothing is told in the log, and harms nobody."""
        try:
            make_folder(self._folder, SETTING)
            write(self._folder / f"{key}.json", _content(key, text, version), SETTING)
        except EnvironmentFault as error:
            _log.warning("configuration %s is not kept for the next start: %s", key, error)

    def text(self, key: str) -> str:
        """What to publish where nothing is: the last good text, else the defaults."""
        found = self.find(key)
        return DEFAULT_TEXTS[key] if found is None else found[0]


def _content(key: str, text: str, version: int) -> bytes:
    return canonical({"key": key, "text": text, "version": version})
