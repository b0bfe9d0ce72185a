"""What publishing a model on HDFS and fetching it costs, against the plain client that writes and reads the same bytes.

The plain client's file has its name while it is half there, and nobody knows what should be in it: it shows what HDFS itself
costs. Ours is 11 requests (7 to publish, 4 to fetch), the plain client's 4. Without an HDFS there is nothing to measure.
"""

import os
import secrets

import hdfs
import pytest

from edgebed.stores.hdfs_artefacts import HdfsArtefacts
from tests.benchmarks.result import Result, alternate, compare
from tests.stores.hdfs_server import USER, Folder, folder

MODEL_BYTES = 40_000
RUNS = 15


def bench_artefacts() -> list[Result]:
    """Publish, open and read a model of 40 KB."""
    try:
        place = folder()
    except pytest.skip.Exception as reason:
        print(f"not measured: {reason}")
        return []
    try:
        return [_published(place)]
    finally:
        place.delete()


def _published(place: Folder) -> Result:
    model = os.urandom(MODEL_BYTES)
    store = HdfsArtefacts(place.url)
    client = hdfs.InsecureClient(f"http://{place.namenode}", user=USER, timeout=30)

    def ours() -> None:
        name = f"models/run-1/{secrets.token_hex(12)}"
        store.publish(name, {"actor.safetensors": model}, {"observation": "x"})
        assert store.open(name).read("actor.safetensors") == model

    def plain() -> None:
        path = f"{place.path}/plain/{secrets.token_hex(12)}"
        client.write(path, data=model)
        with client.read(path) as reader:
            assert reader.read() == model

    ours_s, plain_s = alternate(ours, plain, RUNS)
    return compare("model of 40 KB on HDFS, there and back", "ms", 1000 * ours_s, 1000 * plain_s, 0.25)
