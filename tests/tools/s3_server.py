#!/usr/bin/env python3
"""An S3 server in memory for tests: moto, on a free port of loopback. Prints the port. Ends when its input ends, so it
never outlives the process that started it. Exits with 3 where moto is not installed.

One request is handled at a time, after its body has come. moto alone checks the condition of a put and then writes,
without a lock, and sets an object's metadata after its bytes; S3 does each of these in one step. moto returns 200 for a
range of an empty object, where S3 returns 416."""

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


def as_s3_does(environment, start_response):
    length = int(environment.get("CONTENT_LENGTH") or 0)
    environment["wsgi.input"] = io.BytesIO(environment["wsgi.input"].read(length))
    begun = []
    with turn:
        response = moto(environment, lambda status, headers, *_: begun.append((status, headers)))
        body = b"".join(response)
    status, headers = begun[-1]
    is_range = environment["REQUEST_METHOD"] == "GET" and "HTTP_RANGE" in environment
    if is_range and status.startswith("200") and not body:
        status, body = "416 Requested Range Not Satisfiable", b"<Error><Code>InvalidRange</Code></Error>"
        headers = [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))]
    start_response(status, headers)
    return [body]


server = make_server("127.0.0.1", 0, as_s3_does, threaded=True, request_handler=MotoRequestHandler)
print(server.port, flush=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
sys.stdin.buffer.read()
os._exit(0)
