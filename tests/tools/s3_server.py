#!/usr/bin/env python3
"""An S3 server in memory for tests: moto, on a free port of loopback. Prints the port. Ends when its input ends, so it
never outlives the process that started it. Exits with 3 where moto is not installed.

One request is handled at a time, after its body has come. moto alone checks the condition of a put and then writes,
without a lock, and sets an object's metadata after its bytes; S3 does each of these in one step."""

import io
import logging
import os
import sys
import threading

try:
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
    from werkzeug.serving import make_server
except ImportError:
    sys.exit(3)

logging.getLogger("werkzeug").setLevel(logging.ERROR)
moto = DomainDispatcherApplication(create_backend_app)
turn = threading.Lock()


def one_at_a_time(environment, start_response):
    length = int(environment.get("CONTENT_LENGTH") or 0)
    environment["wsgi.input"] = io.BytesIO(environment["wsgi.input"].read(length))
    with turn:
        response = moto(environment, start_response)
        try:
            return [b"".join(response)]
        finally:
            if hasattr(response, "close"):
                response.close()


server = make_server("127.0.0.1", 0, one_at_a_time, threaded=True, request_handler=MotoRequestHandler)
print(server.port, flush=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
sys.stdin.buffer.read()
os._exit(0)
