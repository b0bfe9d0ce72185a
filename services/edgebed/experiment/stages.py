"""Results that are computed once: a stage is a folder named by the hash of everything that determines it.

A stage is present when its manifest is, because the manifest is written last into a temporary folder which is then
renamed. So a run that was stopped at any instant finds whole stages or none, goes on where it was, and two processes
that want the same stage compute it once: a lock per stage makes the second wait and find it.

    store = StageStore(folder, versions={"kernel": "3"})
    log = store.compute("collect", {"policy": "ratc", "network": digest}, make=lambda folder: ...)
    actor = store.compute("offline", {"log": store.digest(log), "updates": 4000}, make=...)
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import logging
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import edgebed
from edgebed.experiment.errors import EnvironmentFault, disk_fault
from edgebed.experiment.files import canonical, faults, sha256, sync

FORMAT = 1
"""Version of the layout of a stage's folder; part of every key."""

_MANIFEST = "manifest.json"
_WAIT_LIMIT_S = 24 * 3600.0
_POLL_S = 0.05
_log = logging.getLogger(__name__)


class StageStore:
    """The stages below one folder; safe to use from several processes and threads at once."""

    def __init__(
        self, root: Path, versions: Mapping[str, str] | None = None, wait_limit_s: float = _WAIT_LIMIT_S
    ) -> None:
        """`versions` say which code makes the results, beside the package's own version: a new one computes anew.

        `wait_limit_s` bounds how long to wait for another process that computes the same stage.
        """
        self.root = root
        self.versions = {"edgebed": edgebed.__version__, **(versions or {})}
        self._wait_limit_s = wait_limit_s
        with faults(root):
            (root / "locks").mkdir(parents=True, exist_ok=True)
            self._sweep()

    def key(self, kind: str, inputs: Mapping[str, Any]) -> str:
        """SHA-256 of what determines a stage; `inputs` must be JSON, with the digests of the stages it is made from."""
        return hashlib.sha256(
            canonical({"kind": kind, "inputs": inputs, "versions": self.versions, "format": FORMAT})
        ).hexdigest()

    def folder(self, kind: str, inputs: Mapping[str, Any]) -> Path:
        """Where the stage is, or will be."""
        return self.root / f"{kind}-{self.key(kind, inputs)[:24]}"

    def present(self, kind: str, inputs: Mapping[str, Any]) -> bool:
        """Whether the stage is there and undamaged."""
        return _whole(self.folder(kind, inputs))

    def digest(self, stage: Path) -> str:
        """SHA-256 of a computed stage's content, for the inputs of the stages made from it."""
        manifest = json.loads((stage / _MANIFEST).read_text())
        return hashlib.sha256(canonical(manifest["files"])).hexdigest()

    def compute(self, kind: str, inputs: Mapping[str, Any], make: Callable[[Path], None]) -> Path:
        """The folder of the stage, made by `make(temporary folder)` unless it is there and undamaged.

        What `make` raises passes through and leaves nothing behind. Raises EnvironmentFault for a full disk, or when
        another process holds the stage for longer than the limit.
        """
        final = self.folder(kind, inputs)
        if _whole(final):
            return final
        with self._locked(final.name):
            if _whole(final):
                return final
            self._discard(final)
            temporary = self.root / f"{final.name}.tmp-{os.getpid()}-{secrets.token_hex(4)}"
            try:
                with faults(self.root):
                    temporary.mkdir()
                self._make(make, temporary)
                with faults(self.root):
                    _seal(temporary, {"kind": kind, "inputs": inputs, "versions": self.versions, "format": FORMAT})
                    temporary.rename(final)
                    sync(self.root)
            except BaseException:
                shutil.rmtree(temporary, ignore_errors=True)
                raise
        return final

    def compute_json(self, kind: str, inputs: Mapping[str, Any], make: Callable[[], Any]) -> Any:
        """The same for a stage that is one JSON value."""

        def write(folder: Path) -> None:
            (folder / "value.json").write_bytes(canonical(make()))

        return json.loads((self.compute(kind, inputs, write) / "value.json").read_bytes())

    def _make(self, make: Callable[[Path], None], folder: Path) -> None:
        try:
            make(folder)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise disk_fault(error, self.root) from error
            raise

    def _discard(self, final: Path) -> None:
        """Puts away a damaged stage and what an interrupted process left of it; the caller holds the lock."""
        with faults(self.root):
            if final.exists():
                _log.warning("stage %s is damaged and is computed again", final.name)
                shutil.rmtree(final)
            for stale in self.root.glob(f"{final.name}.tmp-*"):
                shutil.rmtree(stale, ignore_errors=True)

    def _sweep(self) -> None:
        """Removes what interrupted processes left: temporary folders that nobody holds the lock of."""
        for stale in self.root.glob("*.tmp-*"):
            with contextlib.suppress(TimeoutError), self._lock(stale.name.split(".tmp-")[0], limit_s=0):
                shutil.rmtree(stale, ignore_errors=True)

    @contextlib.contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        try:
            lock = self._lock(name, self._wait_limit_s)
            with lock:
                yield
        except TimeoutError as error:
            raise EnvironmentFault(
                f"{self.root / name}: another process ({error}) has been computing this for longer than "
                f"{self._wait_limit_s:g} s; end it, and give the same command again"
            ) from None

    @contextlib.contextmanager
    def _lock(self, name: str, limit_s: float) -> Iterator[None]:
        """Holds the stage's lock; raises TimeoutError with the holder. The kernel lets go when a process dies."""
        path = self.root / "locks" / f"{name}.lock"
        with faults(self.root):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            until = time.monotonic() + limit_s
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() >= until:
                        holder = os.pread(descriptor, 64, 0).decode(errors="replace").strip() or "unknown"
                        raise TimeoutError(f"process {holder}") from None
                    time.sleep(_POLL_S)
            with contextlib.suppress(OSError):  # the number only helps a person
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            yield
        finally:
            os.close(descriptor)


def _seal(folder: Path, about: Mapping[str, Any]) -> None:
    """Checksums every file and writes the manifest last, all of it on the disk."""
    files = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        sync(path)
        files[path.relative_to(folder).as_posix()] = {"sha256": sha256(path), "bytes": path.stat().st_size}
    manifest = folder / _MANIFEST
    manifest.write_text(json.dumps({**about, "files": files}, sort_keys=True, indent=1, allow_nan=False) + "\n")
    sync(manifest)
    for inner in [p for p in folder.rglob("*") if p.is_dir()]:
        sync(inner)
    sync(folder)


def _whole(folder: Path) -> bool:
    """Whether the manifest is there and every file is what it says."""
    try:
        manifest = json.loads((folder / _MANIFEST).read_text())
        return all(
            (folder / name).stat().st_size == entry["bytes"] and sha256(folder / name) == entry["sha256"]
            for name, entry in manifest["files"].items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
