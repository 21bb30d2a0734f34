"""A small HTTP server over a saved program; needs NumPy alone.

    python examples/serve.py model.pqc --port 8080 --workers 2
    curl --data-binary @feeds.npz http://127.0.0.1:8080/run -o results.npz
    curl http://127.0.0.1:8080/inputs

`/run` takes an .npz with an array for each input and answers with one of all outputs. The program is loaded once; the
workers are forked from that process, so its weights lie in memory once, however many workers there are. Each worker has
one thread of the library and a thread for each connection, which is kept open between requests.
"""
from __future__ import annotations

import argparse
import io
import json
import os
import signal
import socket
import sys
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

from pytorch_quantization_c import graph

LARGEST = 64 << 20      # bytes of a request


def feeds_of(body: bytes) -> dict[str, Any]:
    """The arrays of an .npz. ValueError if it is none, or would be larger than a request may be."""
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > LARGEST:
                raise ValueError(f"Expected arrays of at most {LARGEST} bytes")
        with np.load(io.BytesIO(body), allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (zipfile.BadZipFile, OSError, EOFError, KeyError) as error:
        raise ValueError(f"Expected the bytes of an .npz: {error}") from None


class Handler(BaseHTTPRequestHandler):
    """Answers `/run` and `/inputs`."""

    protocol_version = "HTTP/1.1"           # connections are kept
    disable_nagle_algorithm = True
    session: Any                            # a graph.Session, or whatever has its methods

    def do_GET(self) -> None:
        if self.path != "/inputs":
            return self.answer(404, b"Expected /inputs or /run\n")
        described = [{"name": each.name, "shape": each.shape, "type": each.type} for each in self.session.get_inputs()]
        self.answer(200, json.dumps(described).encode(), "application/json")

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > LARGEST:
            self.close_connection = True    # what was sent is not read
            return self.answer(413 if length.isdigit() else 411, f"Expected 0 to {LARGEST} bytes\n".encode())
        body = self.rfile.read(int(length))
        if self.path != "/run":
            return self.answer(404, b"Expected /inputs or /run\n")
        try:
            results = self.session.run(None, feeds_of(body))
        except (ValueError, TypeError) as error:
            return self.answer(400, f"{error}\n".encode())
        packed = io.BytesIO()
        names = [each.name for each in self.session.get_outputs()]
        np.savez(packed, **dict(zip(names, results, strict=True)))
        self.answer(200, packed.getvalue(), "application/octet-stream")

    def answer(self, status: int, body: bytes, kind: str = "text/plain; charset=utf-8") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def handle(self) -> None:
        try:
            super().handle()
        except ConnectionError:
            pass                            # the client has gone

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing: a line for each request costs as much as a small network."""


class Server(ThreadingHTTPServer):
    """A server on a socket that other processes listen on as well."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, listening: socket.socket) -> None:
        super().__init__(listening.getsockname()[:2], Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listening

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = self.socket.accept()
        connection.setblocking(True)
        return connection, address


def work(listening: socket.socket) -> None:
    """One worker, until it is told to stop."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Server(listening).serve_forever()


def serve(session: Any, host: str, port: int, workers: int) -> None:
    """Answers until SIGTERM or Ctrl-C; prints where."""
    Handler.session = session
    listening = socket.create_server((host, port), backlog=128)
    listening.setblocking(False)        # all workers wake for a connection, one gets it
    children = []
    for _ in range(workers):
        child = os.fork()
        if child == 0:
            work(listening)
        children.append(child)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print(f"serving at http://{host}:{listening.getsockname()[1]}", flush=True)
    try:
        for child in children:
            os.waitpid(child, 0)
    except KeyboardInterrupt:
        pass
    finally:
        for child in children:
            try:
                os.kill(child, signal.SIGTERM)
            except ProcessLookupError:
                pass


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve a saved program over HTTP.")
    parser.add_argument("program", help="what session.save wrote")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080, help="0: any that is free")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    serve(graph.load_session(options.program, num_threads=1), options.host, options.port, max(options.workers, 1))


if __name__ == "__main__":
    main()
