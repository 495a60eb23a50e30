"""A Hugging Face Hub on 127.0.0.1, for tests: the part of its HTTP interface that a training run and a push use.

Start it by `with Hub() as hub:`, fill it by `hub.add_account("secret", Account("user"))` and `hub.put("model",
"user/tiny", folder, tag="v1")`, run a process with HF_ENDPOINT=hub.url and an HF_HOME of its own, and look at what
came: `hub.count("POST", "/commit/")`. `hub.fail("/resolve/", status=500)` breaks the next such request.
"""

from __future__ import annotations

import re
import socket
import struct
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from tests.hub import reading, writing  # noqa: F401  (they enter their routes)
from tests.hub.exchange import Call, Reply, answer
from tests.hub.faults import Fault, Faults
from tests.hub.storage import LFS_SUFFIXES, MAIN, Account, Blob, HubError, Repo, Store


@dataclass(frozen=True)
class Seen:
    """A request that came, and what became of it; `status` is 0 where the connection was cut. Tokens are not kept."""

    method: str
    path: str
    status: int
    by: str | None
    received: int


class Hub:
    """A server in a thread, and all that it knows.

    Args:
        upload_mode: `regular` takes every file inside the commit, as clients with hf_xet need here; `lfs` has large
            ones uploaded on their own first.
    """

    def __init__(self, upload_mode: str = "regular") -> None:
        self.upload_mode = upload_mode
        self.store, self.faults = Store(), Faults()
        self.requests: list[Seen] = []
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.hub = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Hub:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """Goes down: connections are refused from now on. Again does no harm."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def storage_url(self) -> str:
        """Where large files are: to a client this is another site."""
        return f"http://localhost:{self.port}"

    def page(self, kind: str, id: str) -> str:
        return f"{self.url}/{'' if kind == 'model' else kind + 's/'}{id}"

    def add_account(self, token: str, account: Account) -> None:
        self.store.accounts[token] = account

    def repo(self, kind: str, id: str) -> Repo:
        return self.store.repos[kind, id]

    def put(
        self, kind: str, id: str, files: Path | Mapping[str, bytes], tag: str | None = None, private: bool = False
    ) -> Repo:
        """Puts a folder, or bytes by path, into a repository's main branch in place of what was there."""
        if isinstance(files, Path):
            files = {str(path.relative_to(files)): path.read_bytes() for path in files.rglob("*") if path.is_file()}
        with self.store.lock:
            try:
                repo = self.store.create(kind, id, id.split("/")[0], private)
            except HubError:
                repo = self.store.repos[kind, id]
            blobs = {path: Blob(content, lfs=path.endswith(LFS_SUFFIXES)) for path, content in files.items()}
            self.store.large_files |= {blob.sha256: blob.content for blob in blobs.values() if blob.lfs}
            new = repo.commit(MAIN, blobs, "put by a test", repo.owner)
            if tag is not None:
                repo.tags[tag] = new.oid
        return repo

    def fail(self, path: str, **fault: Any) -> None:
        """Makes something go wrong with the next requests to a path; see `Fault`."""
        self.faults.add(Fault(path, **fault))

    def seen(self, method: str = ".*", path: str = "") -> list[Seen]:
        """Gives the requests whose method and path match: patterns; of the path, a part is enough."""
        with self.store.lock:
            return [each for each in self.requests if re.fullmatch(method, each.method) and re.search(path, each.path)]

    def count(self, method: str = ".*", path: str = "") -> int:
        return len(self.seen(method, path))


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    hub: Hub


class _HangUp(Exception):
    """The connection is to be cut."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        split = urlsplit(self.path)
        hub, self._received, self._reset = self.server.hub, 0, False
        fault = hub.faults.take(self.command, split.path) or Fault("")
        call = Call(hub, self.command, split.path, split.query, self.headers, b"")
        noted = False
        self._reset = fault.reset
        try:
            time.sleep(fault.seconds)
            call.body = self._read_body(fault.cut_upload)
            if fault.status is not None:
                reply = Reply.of_error(HubError(fault.status, "Internal Error - We're working hard to fix this"))
                if fault.retry_after is not None:
                    reply.headers["Retry-After"] = str(fault.retry_after)
            else:
                reply = answer(call)
            self._note(call, reply.status if fault.cut_download is None else 0)
            noted = True
            self._send(reply, fault.cut_download)
        except (_HangUp, ConnectionError):
            if not noted:
                self._note(call, 0)
            self._hang_up()

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

    def _note(self, call: Call, status: int) -> None:
        try:
            by = call.account.name if call.account else None
        except HubError:
            by = "nobody's token"
        with call.store.lock:
            call.hub.requests.append(Seen(call.method, call.path, status, by, self._received))

    def _read_body(self, cut: int | None) -> bytes:
        chunks = []
        for size in self._chunk_sizes():
            left = size if cut is None else min(size, cut - self._received)
            chunk = self.rfile.read(left)
            self._received += len(chunk)
            chunks.append(chunk)
            if len(chunk) < size:
                raise _HangUp
        return b"".join(chunks)

    def _chunk_sizes(self) -> Any:
        """Gives the sizes of the pieces in which a body comes, and reads what stands between them."""
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            yield int(self.headers.get("Content-Length", 0))
            return
        while size := int(self.rfile.readline().split(b";")[0] or b"0", 16):
            yield size
            self.rfile.readline()
        self.rfile.readline()

    def _send(self, reply: Reply, cut: int | None) -> None:
        if cut == -1:
            raise _HangUp
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body[:cut])
            if cut is not None and cut < len(reply.body):
                raise _HangUp

    def _hang_up(self) -> None:
        """Ends the connection: politely, as a proxy that gives up does, or by a reset, as a broken line does."""
        self.close_connection = True
        if self._reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing: `Hub.requests` has it all."""
