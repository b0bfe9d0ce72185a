"""A real HDFS for tests: a fresh folder of it, and what lies there as nobody's store sees it."""

import os
import secrets
from urllib.parse import urlsplit

import hdfs

from tests.servers import need

USER = os.environ.get("EDGEBED_TEST_HDFS_USER", "edgebed")
ROOT = "/edgebed-tests"


class Folder:
    """A folder of the server that nobody else has."""

    def __init__(self, address: str, name: str | None = None) -> None:
        self.namenode = urlsplit(address).netloc
        self.name = name or secrets.token_hex(8)
        self.path = f"{ROOT}/{self.name}"
        self.client = hdfs.InsecureClient(f"http://{self.namenode}", user=USER, timeout=30)

    @property
    def url(self) -> str:
        """As a setting names it."""
        return self.beside(self.namenode)

    def beside(self, *namenodes: str) -> str:
        """The same folder, as a setting with these namenodes names it."""
        return f"webhdfs://{USER}@{','.join(namenodes)}{self.path}"

    def paths(self, path: str = "") -> list[str]:
        """Files below, relative to the folder."""
        top = f"{self.path}/{path}".rstrip("/")
        if self.client.status(top, strict=False) is None:
            return []
        return sorted(
            f"{at}/{file}".removeprefix(f"{self.path}/") for at, _, files in self.client.walk(top) for file in files
        )

    def stored(self, name: str, file: str | None) -> str:
        """Where a file of an artefact lies, or the manifest."""
        stem, _, ending = (file or "manifest.json").partition(".")
        found = [path for path in self.paths(name) if path.startswith(f"{name}/{stem}") and path.endswith(ending)]
        assert len(found) == 1
        return found[0]

    def read(self, path: str) -> bytes:
        with self.client.read(f"{self.path}/{path}") as reader:
            found: bytes = reader.read()
        return found

    def write(self, path: str, content: bytes) -> None:
        self.client.write(f"{self.path}/{path}", data=content, overwrite=True)

    def delete(self, path: str = "") -> None:
        self.client.delete(f"{self.path}/{path}".rstrip("/"), recursive=True)


def folder() -> Folder:
    """A fresh one on the server that tests have; to be deleted afterwards."""
    return Folder(need("hdfs"))
