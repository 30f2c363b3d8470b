"""A web server of files in a thread, which can be as unreliable as the real ones."""

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    """Serves ``server.files`` with byte ranges; notes every request as (name, range)."""

    def do_GET(self):
        server, name, wanted = self.server, self.path.strip("/"), self.headers["Range"]
        server.asked.append((name, wanted))
        server.pause.wait(10)
        data = server.files.get(name)
        if data is None:
            return self.send_error(404)
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and server.ranges else 0
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

    Attributes that a test may set: ``files``; ``ranges`` and ``lengths``, whether it knows of
    these headers; ``cut``, where connections end; ``pause``, an event that answers wait for.
    """
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.files, server.asked, server.ranges, server.lengths = dict(files), [], True, True
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
