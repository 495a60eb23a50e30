"""A request and its reply, and the table of who answers what."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote

from tests.hub.storage import Account, HubError, Store

if TYPE_CHECKING:
    from tests.hub.server import Hub

KINDS = {"models": "model", "datasets": "dataset", "spaces": "space"}
REPO = r"(?P<id>[^/]+(?:/[^/]+)?)"
API = rf"/api/(?P<kinds>models|datasets|spaces)/{REPO}"
PAGE = rf"/(?:(?P<kinds>datasets|spaces)/)?{REPO}"


@dataclass
class Call:
    """A request that has been read whole."""

    hub: Hub
    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    parts: dict[str, str] = field(default_factory=dict)

    @property
    def store(self) -> Store:
        return self.hub.store

    @property
    def kind(self) -> str:
        return KINDS[self.parts.get("kinds") or "models"]

    @property
    def id(self) -> str:
        return self.parts["id"]

    @property
    def options(self) -> dict[str, list[str]]:
        return parse_qs(self.query)

    def asks(self, option: str) -> bool:
        return self.options.get(option, ["false"])[0].lower() in ("true", "1")

    def json(self) -> Any:
        try:
            return json.loads(self.body or b"{}")
        except ValueError as error:
            raise HubError(400, f"Malformed JSON: {error}") from error

    @property
    def account(self) -> Account | None:
        """Whose token came along, or None for strangers.

        Raises:
            HubError: It is nobody's.
        """
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer":
            return None
        if token not in self.store.accounts:
            raise HubError(401, "Invalid credentials in Authorization header")
        return self.store.accounts[token]


@dataclass
class Reply:
    """What goes back."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of_json(cls, content: Any, status: int = 200) -> Reply:
        return cls(status, json.dumps(content).encode(), {"Content-Type": "application/json; charset=utf-8"})

    @classmethod
    def of_error(cls, error: HubError) -> Reply:
        reply = cls.of_json({"error": error.message}, error.status)
        reply.headers["X-Error-Message"] = error.message
        if error.code is not None:
            reply.headers["X-Error-Code"] = error.code
        if error.commit is not None:
            reply.headers["X-Repo-Commit"] = error.commit
        return reply


Answer = Callable[[Call], Reply]
TABLE: list[tuple[str, re.Pattern[str], Answer]] = []


def route(method: str, pattern: str) -> Callable[[Answer], Answer]:
    """Enters a function into the table: it answers requests whose path, still quoted, matches all of the pattern."""

    def enter(answer: Answer) -> Answer:
        TABLE.append((method, re.compile(pattern), answer))
        return answer

    return enter


def answer(call: Call) -> Reply:
    """Gives the reply to a request. HEAD is answered like GET."""
    wanted = "GET" if call.method == "HEAD" else call.method
    for method, pattern, function in TABLE:
        match = pattern.fullmatch(call.path)
        if match and method == wanted:
            call.parts = {name: unquote(value) for name, value in match.groupdict().items() if value is not None}
            try:
                with call.store.lock:
                    return function(call)
            except HubError as error:
                return Reply.of_error(error)
    return Reply.of_error(HubError(404, f"Sorry, we can't find the page you are looking for: {call.path}"))
