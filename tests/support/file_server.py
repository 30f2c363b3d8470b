"""A web server of files in a thread, which can be as unreliable as the real ones."""

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    """Serves ``server.files`` with byte ranges; appends (name, range) to ``server.requests``."""

    def do_GET(self):
        server, name = self.server, self.path.strip("/")
        byte_range = self.headers["Range"]
        server.requests.append((name, byte_range))
        server.pause.wait(10)
        data = server.files.get(name)
        if data is None:
            return self.send_error(404)
        start = (
            int(byte_range.removeprefix("bytes=").rstrip("-"))
            if byte_range and server.ranges
            else 0
        )
        if start >= len(data):
            return self.send_error(416)
        self.send_response(206 if start else 200)
        if server.lengths:
            self.send_header("Content-Length", str(len(data) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        self.wfile.write(data[start : server.cut])

    def log_message(self, *args):
        pass


@contextmanager
def serving(files):
    """The server; its ``url`` ends in a slash.

    A test may set these attributes: ``files``; ``ranges`` and ``lengths``, whether the server
    understands ranges and states lengths; ``cut``, the byte at which connections end; ``pause``,
    an event for which answers wait.
    """
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.files, server.requests = dict(files), []
    server.ranges = server.lengths = True
    server.cut, server.pause = None, threading.Event()
    server.pause.set()
    server.url = f"http://127.0.0.1:{server.server_port}/"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.pause.set()
        server.shutdown()
        thread.join()
        server.server_close()
