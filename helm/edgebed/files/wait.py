"""Waits until somebody listens at every HOST:PORT that is given: `python -c ... HOST:PORT...`."""

import socket
import sys
import time

LIMIT_S = 600.0
PAUSE_S = 1.0

end = time.monotonic() + LIMIT_S
for address in sys.argv[1:]:
    host, _, port = address.rpartition(":")
    print(f"waiting for {address}", flush=True)
    while True:
        try:
            socket.create_connection((host, int(port)), timeout=3).close()
            break
        except OSError as error:
            if time.monotonic() > end:
                sys.exit(f"{address} does not answer: {error}")
        time.sleep(PAUSE_S)
