"""What the control API of a service answers, or somebody else at its address."""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from edgebed.controller.remote import Caller, RemoteAway, RemoteRefused


class Answering(BaseHTTPRequestHandler):
    """404 with the body that is in the path: /title has a problem."""

    def do_GET(self):
        body = {"/title": b'{"title": "No such job", "detail": "post it again"}', "/odd": b'["a list"]'}.get(
            self.path, b""
        )
        self.send_response(404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def node():
    server = HTTPServer(("127.0.0.1", 0), Answering)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    caller = Caller()
    yield caller.to("node 3", f"http://127.0.0.1:{server.server_port}")
    caller.close()
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_refusal_says_why(node):
    with pytest.raises(
        RemoteRefused, match=r"^node 3 \(.*\): GET /title was refused: 404 No such job: post it again$"
    ) as error:
        node.get("/title")
    assert error.value.status == 404


@pytest.mark.parametrize("path", ["/empty", "/odd"])
def test_who_answers_at_the_address_of_a_node_that_went_is_not_the_node(node, path):
    with pytest.raises(RemoteAway, match=r"was answered with 404 by something else than edgebed$"):
        node.get(path)
