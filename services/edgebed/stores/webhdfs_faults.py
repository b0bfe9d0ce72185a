"""What HDFS says when something cannot be done, in one line for people: what is wrong, and what to do.

Its answers hold a Java exception with its stack trace; the name of the exception and the first line are enough. Everything
that may be over in a while is a `StoreAway`.
"""

import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

import hdfs
import requests

from edgebed.experiment.errors import EnvironmentFault
from edgebed.stores.artefacts import StoreAway

_LINE = 240
"""Characters of what HDFS said."""


@dataclass(frozen=True)
class Place:
    """A folder of an HDFS, as a person named it."""

    namenodes: tuple[str, ...]
    """HOST:PORT."""
    user: str
    folder: str
    setting: str

    def __str__(self) -> str:
        return f"HDFS {','.join(self.namenodes)}{self.folder}"


@dataclass(frozen=True)
class _Said:
    """What an exception of HDFS means."""

    sign: str
    """In the exception's name, or in its text."""
    remedy: str
    passes: bool = True
    """It may be over in a while."""


_SAID = (
    _Said(
        "SafeMode",
        "it leaves safe mode by itself once its datanodes have reported: start them; `hdfs dfsadmin -safemode leave` ends "
        "it by hand",
    ),
    _Said(
        "StandbyException",
        "make one namenode active (`hdfs haadmin -transitionToActive`), and name all of them in {setting}",
    ),
    _Said("RetriableException", "the namenode is still starting; try again"),
    _Said(
        "AccessControlException",
        "let user {user} write there (`hdfs dfs -chown {user} {folder}`), or set {setting} to another user or folder",
        False,
    ),
    _Said("QuotaExceeded", "raise the quota with `hdfs dfsadmin`, or delete what is not needed", False),
    _Said("Authentication", "give a namenode that takes `user.name` without Kerberos in {setting}", False),
    _Said("could only be written to 0", "start more datanodes, or free space on their disks"),
    _Said("Failed to find datanode", "start its datanodes"),
    _Said("BlockMissing", "start the datanode that has the block; if it is lost, publish the artefact again"),
    _Said("Could not obtain block", "start the datanode that has the block; if it is lost, publish the artefact again"),
    _Said(
        "Invalid operation",
        "this is no namenode: set {setting} to its HTTP address (dfs.namenode.http-address, by default port 9870)",
        False,
    ),
)
_STRANGER = "set {setting} to a namenode's HTTP address (dfs.namenode.http-address, by default port 9870)"


def is_missing(error: BaseException | None) -> bool:
    """Whether it says that there is no such file or folder."""
    if not isinstance(error, hdfs.HdfsError):
        return False
    # A name below that of a file is looked for as in a folder, and then this is said.
    below_a_file = error.exception == "AccessControlException" and "(is not a directory)" in str(error.message)
    return error.exception in ("FileNotFoundException", "ParentNotDirectoryException") or below_a_file


def explained(error: Exception, place: Place) -> EnvironmentFault:
    """What to raise for what the client has raised."""
    if isinstance(error, hdfs.HdfsError):
        return _said(error, place)
    if isinstance(error, requests.RequestException) and not isinstance(error, requests.exceptions.JSONDecodeError):
        return _unanswered(error, place)
    # The client takes every answer for one of HDFS, and does not find in it what it looks for.
    return EnvironmentFault(f"{place}: who answers there is no namenode; {_STRANGER.format(setting=place.setting)}")


def _said(error: hdfs.HdfsError, place: Place) -> EnvironmentFault:
    message = error.message.decode("utf-8", "replace") if isinstance(error.message, bytes) else str(error.message)
    line = (message.strip().splitlines() or ["no reason given"])[0][:_LINE].rstrip(" .:")
    if error.exception is None and "Authentication" not in line:  # no answer of WebHDFS
        line = "a web page answers" if line.startswith("<") else line
        return EnvironmentFault(f"{place}: {line}; {_STRANGER.format(setting=place.setting)}")
    name = f"{error.exception}: " if error.exception else ""
    for said in _SAID:
        if said.sign in f"{name}{line}":
            remedy = said.remedy.format(setting=place.setting, user=place.user, folder=place.folder)
            return (StoreAway if said.passes else EnvironmentFault)(f"{place}: {name}{line}; {remedy}")
    return StoreAway(f"{place}: {name}{line}; the log of the namenode or datanode says more")


def _unanswered(error: requests.RequestException, place: Place) -> EnvironmentFault:
    address = "" if error.request is None else urlsplit(str(error.request.url)).netloc
    host = address.rpartition(":")[0] or address
    datanode = bool(address) and address not in place.namenodes
    who = f"datanode {address}" if datanode else "no namenode" if len(place.namenodes) > 1 else "the namenode"
    if _unresolved(error):
        remedy = f"correct {place.setting}"
        if datanode:
            remedy = (
                "set dfs.datanode.hostname to a name that resolves from here too, or enter that name in the hosts file "
                "(/etc/hosts, or hostAliases of a pod)"
            )
        return StoreAway(
            f"{place}: the name {host} of {'a datanode' if datanode else 'a namenode'} does not resolve; {remedy}"
        )
    answers = "answers" if who == "no namenode" else "does not answer"
    if datanode:
        remedy = "start it, or let this machine reach it; names and folders are there meanwhile, content is not"
    else:
        remedy = f"start HDFS, or correct {place.setting}"
    return StoreAway(f"{place}: {who} {answers} ({_reason(error)}); {remedy}")


def _reason(error: requests.RequestException) -> str:
    if isinstance(error, requests.Timeout) or "timed out" in str(error):
        return "it took too long"
    cause = _first(error, OSError)
    return str(cause.strerror if cause is not None and cause.strerror else type(error).__name__)


def _unresolved(error: BaseException) -> bool:
    return _first(error, socket.gaierror) is not None


def _first(error: BaseException, kind: type[OSError]) -> OSError | None:
    """The first error of a kind below requests' own, which are OSErrors too."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, kind) and not isinstance(seen, requests.RequestException):
            return seen
        reason = getattr(seen, "reason", None)
        seen = reason if isinstance(reason, BaseException) else seen.__cause__ or seen.__context__
    return None
