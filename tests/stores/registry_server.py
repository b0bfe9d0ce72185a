"""A small real HTTP server in front of an EmbeddedCoordinator: what the controller's API does, for tests of its client."""

import contextlib
import json
import threading
from dataclasses import asdict
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


class RegistryServer(ThreadingHTTPServer):
    """On a free port of the loopback."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, coordinator, token=None, port=0, answer=...):
        """`answer` is what it says to everybody, where it is given."""
        super().__init__(("127.0.0.1", port), Handler)
        self.coordinator, self.token, self.always = coordinator, token, answer
        self.requests = 0
        self.stopping = threading.Event()
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.connections = set()

    @contextlib.contextmanager
    def running(self):
        thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield self
        finally:
            self.stopping.set()
            self.shutdown()
            thread.join()
            for connection in list(self.connections):
                with contextlib.suppress(OSError):
                    connection.shutdown(2)
            self.server_close()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self):
        super().setup()
        self.server.connections.add(self.request)

    def finish(self):
        self.server.connections.discard(self.request)
        with contextlib.suppress(OSError):
            super().finish()

    def log_message(self, *_):
        pass

    def handle_one_request(self):
        with contextlib.suppress(ConnectionError):
            super().handle_one_request()
            return
        self.close_connection = True

    def answer(self, status, document=None):
        body = b"" if document is None else json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do(self):
        url = urlsplit(self.path)
        length = int(self.headers.get("Content-Length", 0))
        body = json.loads(self.rfile.read(length)) if length else {}
        if self.server.token is not None and self.headers.get("Authorization") != f"Bearer {self.server.token}":
            return self.answer(HTTPStatus.UNAUTHORIZED, {"title": "Unauthorized"})
        self.server.requests += 1
        if self.server.always is not ...:
            return self.answer(HTTPStatus.OK, self.server.always)
        coordinator = self.server.coordinator
        match (self.command, *url.path.strip("/").split("/")):
            case "PUT", "v1", "registry", service, name:
                coordinator.register(service, name, body["address"], body["metadata"])
                return self.answer(HTTPStatus.NO_CONTENT)
            case "DELETE", "v1", "registry", service, name:
                coordinator.deregister(service, name)
                return self.answer(HTTPStatus.NO_CONTENT)
            case "GET", "v1", "registry", service:
                return self.answer(HTTPStatus.OK, {"instances": [asdict(i) for i in coordinator.instances(service)]})
            case "PUT", "v1", "configuration", key:
                return self.answer(HTTPStatus.OK, asdict(coordinator.publish(key, body["text"])))
            case "GET", "v1", "configuration", key:
                query = parse_qs(url.query)
                entry = self.wait(key, int(query["after"][0]), float(query["waitSeconds"][0]))
                return (
                    self.answer(HTTPStatus.NO_CONTENT) if entry is None else self.answer(HTTPStatus.OK, asdict(entry))
                )
        return self.answer(HTTPStatus.NOT_FOUND, {"title": "Not found"})

    do_GET = do_PUT = do_DELETE = do  # noqa: N815  # names of the standard library

    def wait(self, key, after, wait_s):
        """In small steps, so that the server can stop."""
        while True:
            step = min(wait_s, 0.05)
            entry = self.server.coordinator.get(key, after, step)
            wait_s -= step
            if entry is not None or wait_s <= 0 or self.server.stopping.is_set():
                return entry
