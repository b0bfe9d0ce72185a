"""A real HDFS that hangs, is killed, or is not there, at whatever moment of a publication: what was there stays, whole."""

import logging
import sys
import threading
import time
from typing import Any

import hdfs
import pytest
import requests

from edgebed.experiment.errors import EnvironmentFault
from edgebed.stores.artefacts import StoreAway
from edgebed.stores.hdfs_artefacts import HdfsArtefacts
from edgebed.stores.patience import PatientArtefacts
from edgebed.stores.webhdfs_faults import Place, explained
from tests import servers
from tests.stores import hdfs_server
from tests.stores.artefact_suite import ABOUT, FILES, NAME

OLD, NEW = {"model": b"old" * 10_000}, {"model": b"new" * 10_000}
READ_S = 1.0
"""Of stores whose server hangs; one that works may need longer on a busy machine, so others have the default."""
ALL = Place(("one:9870", "two:9870"), "me", "/folder", "EDGEBED_ARTEFACTS")

_at: dict[str, Any] = {"left": 0, "act": None}


def _hook(event, arguments):
    """Calls `act` once, before the n-th thing that is sent."""
    if event == "http.client.send" and _at["act"] is not None:
        _at["left"] -= 1
        if _at["left"] == 0:
            act, _at["act"] = _at["act"], None
            act()


sys.addaudithook(_hook)


def before_step(count, act):
    _at["left"], _at["act"] = count, act


@pytest.fixture
def folder():
    servers.need_to_stop("hdfs")
    found = hdfs_server.folder()
    yield found
    _at["act"] = None
    servers.start("hdfs")
    found.delete()


def content(store):
    artefact = store.open(NAME)
    return {file: artefact.read(file) for file in artefact.files}


def failure(work):
    """What it says when the store is away; None when it is not."""
    try:
        work()
    except StoreAway as error:
        return str(error)
    return None


@pytest.mark.parametrize("server", ["namenode", "datanode"])
def test_a_server_that_hangs_at_any_step(folder, server):
    """A publication ends in time, with what to do; what was there is there, or the new one; and the next one succeeds."""
    seen = []
    for step in range(1, 100):
        store = HdfsArtefacts(f"{folder.url}/{step}", connect_s=READ_S, read_s=READ_S)
        HdfsArtefacts(f"{folder.url}/{step}").publish(NAME, OLD, {})
        before_step(step, lambda: servers.stop(server, "--pause"))
        begin = time.monotonic()
        said = failure(lambda store=store: store.publish(NAME, NEW, {}))
        reached = _at["act"] is None
        assert time.monotonic() - begin < 60
        assert said is None or (f"HDFS {folder.namenode}" in said and "start" in said and "\n" not in said)
        servers.start("hdfs")
        patient = PatientArtefacts(HdfsArtefacts(f"{folder.url}/{step}"), time.sleep)
        if not reached:
            break
        found = content(patient)
        assert found in (OLD, NEW)
        seen.append(found == NEW)
        patient.publish(NAME, NEW, {})
        assert content(patient) == NEW
    assert len(seen) > 8
    assert False in seen
    assert seen == sorted(seen)  # the new one from the moment on when its manifest has its name


def test_hdfs_is_killed_while_a_model_is_published(folder, caplog):
    """No half model is seen; the publication is tried again, says so, and succeeds when HDFS is back."""
    caplog.set_level(logging.WARNING)
    store = HdfsArtefacts(folder.url)
    store.publish(NAME, OLD, {})
    held = store.open(NAME)
    published = threading.Event()

    def kill():
        servers.stop("datanode", "--kill")
        servers.stop("namenode", "--kill")

    def publish():
        before_step(8, kill)  # within the second file: the first has its place already
        PatientArtefacts(HdfsArtefacts(folder.url), time.sleep, limit_s=600).publish(NAME, NEW, {"n": 2})
        published.set()

    thread = threading.Thread(target=publish)
    thread.start()
    while "tried again for" not in caplog.text:
        assert thread.is_alive()
        time.sleep(0.05)
    with pytest.raises(StoreAway, match=r"the namenode does not answer \(Connection refused\); start HDFS, or correct"):
        store.open(NAME)
    with pytest.raises(StoreAway):
        held.read("model")
    assert not published.is_set()
    servers.start("namenode")
    servers.start("datanode")
    patient = PatientArtefacts(store, time.sleep)
    while not published.is_set():
        assert content(patient) in (OLD, NEW)
        assert thread.is_alive() or published.is_set()  # in this order: it may end right now
    thread.join()
    assert content(patient) == NEW
    assert patient.open(NAME).about == {"n": 2}
    assert "publishing models/run-1/v3 succeeded after" in caplog.text


def test_a_datanode_is_killed_in_the_middle_of_a_write(folder):
    """While a megabyte is on its way; names are there meanwhile, content is not, and says why."""
    store = HdfsArtefacts(folder.url)
    store.publish(NAME, OLD, {})

    def kill():
        while not folder.client.status(f"{folder.path}/.unfinished", strict=False) or not folder.paths(".unfinished"):
            time.sleep(0.01)
        servers.stop("datanode", "--kill")

    before_step(5, kill)  # the bytes themselves, after a folder, the namenode's answer, and the head
    with pytest.raises(StoreAway, match=r"datanode .* does not answer .*start it") as caught:
        store.publish(NAME, {"model": bytes(1 << 20)}, {})
    assert "\n" not in str(caught.value)
    assert store.names() == [NAME]
    with pytest.raises(StoreAway, match="datanode"):
        store.open(NAME)
    servers.start("datanode")
    patient = PatientArtefacts(store, time.sleep)
    assert content(patient) == OLD
    patient.publish(NAME, NEW, {})
    assert content(patient) == NEW


def test_another_namenode_is_asked(folder):
    """Where the first is away, or its name does not resolve; where all are, it says so."""
    store = HdfsArtefacts(folder.beside("127.0.0.1:1", "nobody.invalid", folder.namenode))
    store.publish(NAME, FILES, ABOUT)
    assert store.open(NAME).about == ABOUT
    assert f"namenode {folder.namenode} is active" in store.probe()
    with pytest.raises(
        StoreAway, match=r"no namenode answers \(Connection refused\); start HDFS, or correct EDGEBED_ARTEFACTS"
    ):
        HdfsArtefacts(folder.beside("127.0.0.1:1", "127.0.0.1:2")).names()
    with pytest.raises(
        StoreAway, match=r"the name nobody.invalid of a namenode does not resolve; correct EDGEBED_ARTEFACTS"
    ):
        HdfsArtefacts(folder.beside("nobody.invalid")).names()


def test_waiting_ends_with_the_time_and_with_a_request_to_stop(folder, caplog):
    """Then the reason is the store's own; whoever stops is heard at once."""

    class Stopped(Exception):
        pass

    def stop(_):
        raise Stopped

    away = HdfsArtefacts(folder.beside("127.0.0.1:1"))
    with pytest.raises(StoreAway, match="Connection refused"):
        PatientArtefacts(away, time.sleep, limit_s=0.5).open(NAME)
    with pytest.raises(Stopped):
        PatientArtefacts(away, stop).publish(NAME, FILES, ABOUT)
    assert caplog.text.count("opening models/run-1/v3 failed, and is tried again for 0.5 s: HDFS") == 1


def test_a_datanode_whose_name_does_not_resolve():
    """What `requests` makes of such a name, as HDFS redirects to it; the host and the remedy are named."""
    with pytest.raises(requests.ConnectionError) as caught:
        requests.put("http://datanode-7.invalid:9864/webhdfs/v1/folder/x", timeout=10)
    error = explained(caught.value, ALL)
    assert isinstance(error, StoreAway)
    assert "the name datanode-7.invalid of a datanode does not resolve; set dfs.datanode.hostname" in str(error)
    assert "hosts file" in str(error)


@pytest.mark.parametrize(
    ("name", "text", "kind", "said"),
    [
        (
            "StandbyException",
            "Operation category READ is not supported in state standby. Visit https://s.apache.org/sbnn-error",
            StoreAway,
            "make one namenode active",
        ),
        (
            "SafeModeException",
            "Cannot create file/folder/x. Name node is in safe mode.\nThe reported blocks 0 needs additional 3 blocks",
            StoreAway,
            "it leaves safe mode by itself",
        ),
        (
            "AccessControlException",
            'Permission denied: user=me, access=WRITE, inode="/":root:supergroup:drwxr-xr-x\n\tat org.apache.hadoop.hdfs',
            EnvironmentFault,
            "hdfs dfs -chown me /folder",
        ),
        (
            "DSQuotaExceededException",
            "The DiskSpace quota of /folder is exceeded: quota = 1 B = 1 B but diskspace consumed = 134217728 B",
            EnvironmentFault,
            "raise the quota",
        ),
        (
            "IOException",
            "File /folder/x could only be written to 0 of the 1 minReplication nodes. There are 0 datanode(s) running",
            StoreAway,
            "start more datanodes, or free space on their disks",
        ),
        (
            "IOException",
            "Failed to find datanode, suggest to check cluster health. excludeDatanodes=null",
            StoreAway,
            "start its datanodes",
        ),
        ("SomethingElse", "whatever\n\tat java.lang.Thread.run", StoreAway, "the log of the namenode"),
        (None, b"<!doctype html><html>", EnvironmentFault, "a web page answers; set EDGEBED_ARTEFACTS to a namenode's"),
    ],
)
def test_what_hdfs_says_is_one_line_with_what_to_do(name, text, kind, said):
    """Texts as real servers have answered; no stack trace, and only what may pass is waited for."""
    error = explained(hdfs.HdfsError(text, exception=name), ALL)
    assert type(error) is kind
    assert str(error).startswith("HDFS one:9870,two:9870/folder: ")
    assert said in str(error)
    assert "\n" not in str(error)
    assert "\tat " not in str(error)


@pytest.mark.parametrize("wrong", ["rpc", "datanode"])
def test_who_is_no_namenode_is_found_out(folder, wrong):
    """Its port of remote procedure calls, or a datanode: what to give instead, and it is not waited for."""
    location = folder.client._create(f"{folder.path}/x", overwrite=True).headers["location"]
    rpc = location.partition("namenoderpcaddress=")[2].partition("&")[0]
    address = rpc if wrong == "rpc" else requests.utils.urlparse(location).netloc
    with pytest.raises(EnvironmentFault, match=r"set EDGEBED_ARTEFACTS to .*HTTP address") as caught:
        HdfsArtefacts(folder.beside(address)).names()
    assert not isinstance(caught.value, StoreAway)
