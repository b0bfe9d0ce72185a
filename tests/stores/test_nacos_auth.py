"""A server of Nacos that asks for user and password."""

import base64
import os
import time

import pytest

from edgebed.experiment.errors import UserError
from edgebed.stores.coordination import open_coordinator
from tests.stores.coordinator_suite import LONG_S
from tests.stores.nacos_server import OwnServer, Server

USER, PASSWORD = "nacos", "adm1n-s3cret"
"""The administrator's name is given by Nacos."""


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    key = base64.b64encode(os.urandom(48)).decode()
    own = OwnServer(
        tmp_path_factory.mktemp("nacos"),
        {
            "nacos.core.auth.enabled": "true",
            "nacos.core.auth.admin.enabled": "true",
            "nacos.core.auth.plugin.nacos.token.secret.key": key,
            "nacos.core.auth.server.identity.key": "edgebed",
            "nacos.core.auth.server.identity.value": "test",
        },
    )
    try:
        own.start()
        server = Server(own.address)
        server.ask("POST", "auth/user/admin", password=PASSWORD)
        until = time.monotonic() + LONG_S
        while server.token is None:  # Nacos knows a new user after some seconds
            try:
                server.token = server.ask("POST", "auth/user/login", username=USER, password=PASSWORD)["accessToken"]
            except OSError:
                assert time.monotonic() < until
                time.sleep(0.2)
        server.ask("POST", "auth/user", username="guest", password=PASSWORD)
        yield server
    finally:
        own.purge()


@pytest.fixture
def opened(guarded, tmp_path):
    made = []

    def make(light, user, password, namespace="edgebed"):
        url = f"nacos://{guarded.address}/{namespace}"
        made.append(open_coordinator(url, user, password, tmp_path, light=light))
        return made[-1]

    yield make
    for coordinator in made:
        coordinator.close()
    for path in tmp_path.rglob("*"):
        if path.is_file():
            text = path.read_text()
            assert PASSWORD not in text
            assert "accessToken" not in text


both = pytest.mark.parametrize("light", [False, True], ids=["sdk", "light"])


@both
def test_who_has_the_password_may_all(opened, light):
    assert opened(light, USER, PASSWORD).probe().startswith("Nacos 3.")


@both
def test_a_wrong_password_is_named_and_never_shown(opened, light, caplog):
    """By every call, with the settings to mend."""
    coordinator = opened(light, USER, "wr0ng-s3cret")
    for work in (
        lambda: coordinator.register("a", "a", "http://127.0.0.1:1", {}),
        lambda: coordinator.instances("a"),
        lambda: coordinator.publish("a", "x"),
        lambda: coordinator.get("a"),
        coordinator.probe,
    ):
        with pytest.raises(UserError, match=r"COORDINATION_USER: .*'nacos'.*COORDINATION_PASSWORD") as caught:
            work()
        assert "s3cret" not in str(caught.value)
    assert "s3cret" not in caplog.text


@both
def test_who_gives_no_user_is_told_to(opened, light):
    with pytest.raises(UserError, match="EDGEBED_COORDINATION_USER: is missing"):
        opened(light, None, None).get("a")


@both
def test_who_has_no_right_is_told_so(opened, light, guarded):
    """Nacos knows the user, and lets nobody read who was given no right to."""
    until = time.monotonic() + LONG_S
    while True:
        with pytest.raises(UserError) as caught:
            opened(True, "guest", PASSWORD).get("a")
        if "may not read" in str(caught.value):
            break
        assert time.monotonic() < until  # Nacos knows a new user after some seconds
        time.sleep(0.2)
    with pytest.raises(UserError, match="'guest' may not read in namespace 'edgebed'; give this user the right"):
        opened(light, "guest", PASSWORD).get("a")
