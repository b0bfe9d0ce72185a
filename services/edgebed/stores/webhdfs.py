"""A folder of HDFS over WebHDFS: each call bounded in time, and what to tell a person when it cannot be done.

    hdfs = WebHdfs("webhdfs://edgebed@namenode-1:9870,namenode-2:9870/edgebed", "EDGEBED_ARTEFACTS")
    hdfs.write("new", content); hdfs.replace("new", "there"); hdfs.read("there")

Names and folders are a namenode's; content is a datanode's, to which the namenode redirects. Of several namenodes the one
that answered last is asked first, and the next one when it is away or on standby. Every call may be made twice, so whoever
was not answered may try again: `webhdfs_faults.StoreAway` says that this makes sense.
"""

import http.client
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import hdfs
import requests

from edgebed.experiment.errors import EnvironmentFault, Problem, UserError
from edgebed.stores.webhdfs_faults import Place, explained, is_missing

CONNECT_S = 3.0
"""Until a namenode or datanode takes the connection, and until it takes more of what is sent."""
READ_S = 10.0
"""Until it answers, or sends more of its answer."""
PORT = 9870
"""Of a namenode's HTTP server, by default."""
_CHUNK_BYTES = 1 << 18

_HOST = r"[A-Za-z0-9][A-Za-z0-9.-]*(:\d{1,5})?"
_URL = re.compile(rf"webhdfs://(?P<user>[\w.-]+)@(?P<hosts>{_HOST}(,{_HOST})*)(?P<folder>(/[\w+-][\w.+-]*)+)/?\Z", re.A)
EXAMPLE = "webhdfs://USER@NAMENODE:9870/FOLDER, with a comma between several namenodes"

T = TypeVar("T")


@dataclass(frozen=True)
class Entry:
    """A file or folder in a folder."""

    name: str
    folder: bool
    modified_s: float
    """Unix time."""


class WebHdfs:
    """One folder. Safe to use from several threads: each has connections of its own."""

    def __init__(self, url: str, setting: str, connect_s: float = CONNECT_S, read_s: float = READ_S) -> None:
        """`setting` is where a person gave the URL. Connects when it is first used. Raises UserError for a wrong URL."""
        found = _URL.match(url)
        if found is None:
            shown = url if "@" not in url else f"webhdfs://...@{url.rpartition('@')[2]}"  # there may be a password
            raise UserError(Problem(setting, f"{shown!r} is not allowed", f"give {EXAMPLE}"))
        hosts = [host if ":" in host else f"{host}:{PORT}" for host in found["hosts"].split(",")]
        self.place = Place(tuple(hosts), found["user"], found["folder"], setting)
        self._timeout = (connect_s, read_s)
        self._threads = threading.local()

    def read(self, path: str) -> bytes | None:
        """The content of a file; None where there is no such file. Raises EnvironmentFault."""

        def work(client: hdfs.Client) -> bytes:
            # In pieces, because then a connection that is cut is noticed.
            with client.read(self._absolute(path), chunk_size=_CHUNK_BYTES) as pieces:
                return b"".join(pieces)

        return self._found(work)

    def write(self, path: str, content: bytes) -> None:
        """A file with this content, and the folders that it lies in. Readers may see it unfinished. Raises EnvironmentFault."""
        self._call(lambda client: client.write(self._absolute(path), data=content, overwrite=True))

    def make_folder(self, path: str) -> None:
        """A folder, with those that it lies in. Raises EnvironmentFault."""
        self._call(lambda client: client.makedirs(self._absolute(path)))

    def replace(self, source: str, target: str) -> None:
        """Gives a file another name, in one step in place of a file that has it. Raises EnvironmentFault."""
        # The client's own `rename` does not know this option, with which HDFS takes the old file away in the same
        # transaction: there is no instant at which a reader finds none, or half of one.
        how = {"destination": self._absolute(target), "renameoptions": "OVERWRITE"}
        self._call(lambda client: client._rename(self._absolute(source), **how))

    def delete(self, path: str) -> None:
        """Takes away a file, or a folder with what is in it; nothing happens where there is none. Raises EnvironmentFault."""
        self._call(lambda client: client.delete(self._absolute(path), recursive=True))

    def entries(self, path: str) -> list[Entry]:
        """What is in a folder; nothing where there is no such folder. Raises EnvironmentFault."""

        def work(client: hdfs.Client) -> list[dict[str, Any]]:
            # The client's own `list` asks twice about a folder with one entry.
            listed: list[dict[str, Any]] = client._list_status(self._absolute(path)).json()["FileStatuses"][
                "FileStatus"
            ]
            return listed

        return [
            Entry(about["pathSuffix"], about["type"] == "DIRECTORY", about["modificationTime"] / 1000)
            for about in self._found(work) or []
            if about["pathSuffix"]  # else it is a file, listed as itself
        ]

    def health(self) -> str:
        """The namenode that answers, its datanodes and the space left, for people. Raises EnvironmentFault."""

        def work(client: hdfs.Client) -> tuple[str, dict[str, Any]]:
            client.status("/")  # after this, the first is the one that answers
            address = str(client._urls[0])
            query = {"qry": "Hadoop:service=NameNode,name=FSNamesystemState"}
            answer = client._session.get(f"{address}/jmx", params=query, timeout=self._timeout)
            beans = answer.json().get("beans") or [{}]
            return address.removeprefix("http://"), beans[0]

        namenode, state = self._call(work)
        live, dead = state.get("NumLiveDataNodes", "?"), state.get("NumDeadDataNodes", "?")
        left = state.get("CapacityRemaining")
        space = "unknown space" if left is None else f"{left / 1e9:.1f} GB"
        return f"namenode {namenode} is active, {live} datanodes live and {dead} dead, {space} left"

    def _absolute(self, path: str) -> str:
        return f"{self.place.folder}/{path}" if path else self.place.folder

    def _found(self, work: Callable[[hdfs.Client], T]) -> T | None:
        """As `_call`; None where there is no such path."""
        try:
            return self._call(work)
        except EnvironmentFault as fault:
            if is_missing(fault.__cause__):
                return None
            raise

    def _call(self, work: Callable[[hdfs.Client], T]) -> T:
        again = True
        while True:
            try:
                return work(self._client())
            except (hdfs.HdfsError, requests.RequestException, ValueError, LookupError, TypeError) as error:
                if again and _was_cut(error):
                    again = False
                    continue
                raise explained(error, self.place) from error

    def _client(self) -> hdfs.Client:
        client = getattr(self._threads, "client", None)
        if client is None:
            session = requests.Session()
            session.trust_env = False  # proxies and .netrc are not for the addresses of a cluster
            addresses = ";".join(f"http://{host}" for host in self.place.namenodes)
            client = hdfs.InsecureClient(addresses, user=self.place.user, session=session, timeout=self._timeout)
            self._threads.client = client
        return client


def _was_cut(error: BaseException) -> bool:
    """Whether a connection ended that had been taken: kept too long, say, or the file was replaced while it was read."""
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return True
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, http.client.RemoteDisconnected | ConnectionResetError | BrokenPipeError):
            return True
        seen = seen.__cause__ or seen.__context__
    return False
