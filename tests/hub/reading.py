"""Routes that read: who am I, repositories, trees, files."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import parse_qs, quote

from tests.hub.exchange import API, PAGE, Call, Reply, route
from tests.hub.storage import MAIN, Blob, Commit, HubError, Repo

TASKS = {
    "ForSequenceClassification": "text-classification",
    "ForQuestionAnswering": "question-answering",
    "ForTokenClassification": "token-classification",
    "ForMaskedLM": "fill-mask",
    "LMHeadModel": "text-generation",
}


@route("GET", "/api/whoami-v2")
def whoami(call: Call) -> Reply:
    account = call.account
    if account is None:
        raise HubError(401, "Invalid username or password.")
    return Reply.of_json(
        {
            "type": "user",
            "id": f"id-of-{account.name}",
            "name": account.name,
            "fullname": account.name.title(),
            "isPro": False,
            "orgs": [{"type": "org", "name": name, "roleInOrg": "write"} for name in account.organizations],
            "auth": {"type": "access_token", "accessToken": {"displayName": "test", "role": account.role}},
        }
    )


@route("GET", rf"{API}/auth-check(?P<write>/write)?")
def auth_check(call: Call) -> Reply:
    if "write" in call.parts:
        call.store.writable(call.kind, call.id, call.account)
    else:
        call.store.check_gate(call.store.readable(call.kind, call.id, call.account), call.account)
    return Reply.of_json({})


@route("GET", rf"{API}/refs")
def refs(call: Call) -> Reply:
    repo = call.store.readable(call.kind, call.id, call.account)

    def listed(names: dict[str, str], kind: str) -> list[dict[str, str]]:
        return [{"name": name, "ref": f"refs/{kind}/{name}", "targetCommit": oid} for name, oid in names.items()]

    branches, tags = listed(repo.branches, "heads"), listed(repo.tags, "tags")
    return Reply.of_json({"branches": branches, "tags": tags, "converts": [], "pullRequests": []})


@route("GET", rf"{API}/commits/(?P<revision>[^/]+)")
def commits(call: Call) -> Reply:
    repo = call.store.readable(call.kind, call.id, call.account)
    return Reply.of_json(
        [
            {"id": each.oid, "title": each.title, "message": "", "date": each.date, "authors": [{"user": each.author}]}
            for each in repo.history(call.parts["revision"])
        ]
    )


@route("GET", rf"{API}/tree/(?P<revision>[^/]+)(?:/(?P<path>.+))?")
def tree(call: Call) -> Reply:
    repo = call.store.readable(call.kind, call.id, call.account)
    commit = repo.find(call.parts["revision"])
    folder = call.parts.get("path", "").strip("/")
    inside = f"{folder}/" if folder else ""
    entries: dict[str, dict[str, Any]] = {}
    for path, blob in sorted(commit.files.items()):
        if not path.startswith(inside):
            continue
        steps = path.removeprefix(inside).split("/")
        for depth in range(1, len(steps)):
            name = inside + "/".join(steps[:depth])
            if depth == 1 or call.asks("recursive"):
                entries[name] = {"type": "directory", "oid": "0" * 40, "size": 0, "path": name}
        if len(steps) == 1 or call.asks("recursive"):
            entries[path] = file_entry(path, blob, commit, call.asks("expand"))
    if not entries and folder:
        raise HubError(404, f"{folder} does not exist on {call.parts['revision']}", "EntryNotFound", commit.oid)
    return Reply.of_json(list(entries.values()))


@route("POST", rf"{API}/paths-info/(?P<revision>[^/]+)")
def paths_info(call: Call) -> Reply:
    commit = call.store.readable(call.kind, call.id, call.account).find(call.parts["revision"])
    paths = parse_qs(call.body.decode()).get("paths", [])
    return Reply.of_json([file_entry(path, commit.files[path], commit) for path in paths if path in commit.files])


def file_entry(path: str, blob: Blob, commit: Commit, expand: bool = False) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "file", "oid": blob.git_oid, "size": len(blob.content), "path": path}
    if blob.lfs:
        entry["lfs"] = {"oid": blob.sha256, "size": len(blob.content), "pointerSize": len(blob.pointer)}
    if expand:
        entry["lastCommit"] = {"id": commit.oid, "title": commit.title, "date": commit.date}
    return entry


@route("GET", rf"{API}(?:/revision/(?P<revision>[^/]+))?")
def info(call: Call) -> Reply:
    repo = call.store.readable(call.kind, call.id, call.account)
    commit = repo.find(call.parts.get("revision", MAIN))
    siblings = []
    for path, blob in sorted(commit.files.items()):
        sibling: dict[str, Any] = {"rfilename": path}
        if call.asks("blobs"):
            sibling |= {"size": len(blob.content), "blobId": blob.git_oid}
            if blob.lfs:
                sibling["lfs"] = {"sha256": blob.sha256, "size": len(blob.content), "pointerSize": len(blob.pointer)}
        siblings.append(sibling)
    described: dict[str, Any] = {
        "_id": f"id-of-{repo.id}",
        "id": repo.id,
        "author": repo.namespace,
        "sha": commit.oid,
        "lastModified": commit.date,
        "createdAt": repo.history(commit.oid)[-1].date,
        "private": repo.private,
        "gated": "manual" if repo.gated_for is not None else False,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": [],
        "siblings": siblings,
    }
    if repo.kind == "model":
        described |= {"modelId": repo.id} | what_it_is_for(commit)
    return Reply.of_json(described)


def what_it_is_for(commit: Commit) -> dict[str, str]:
    """Gives task and library as the card's metadata say them, else as config.json's architecture lets guess."""
    found = {}
    config = commit.files.get("config.json")
    if config is not None:
        architecture = (json.loads(config.content).get("architectures") or [""])[0]
        found["library_name"] = "transformers"
        task = next((task for ending, task in TASKS.items() if architecture.endswith(ending)), None)
        found |= {"pipeline_tag": task} if task else {}
    card = commit.files.get("README.md", Blob(b"")).content.decode()
    metadata = re.match(r"---\n(.*?)\n---", card, re.DOTALL)
    for name in ("pipeline_tag", "library_name"):
        said = metadata and re.search(rf"^{name}: *(\S+)", metadata[1], re.MULTILINE)
        if said:
            found[name] = said[1]
    return found


@route("GET", rf"{PAGE}/resolve/(?P<revision>[^/]+)/(?P<path>.+)")
def resolve(call: Call) -> Reply:
    """Gives a file; a large one is fetched from another place, as the Hub's are."""
    repo = call.store.readable(call.kind, call.id, call.account)
    call.store.check_gate(repo, call.account)
    commit, blob = find_file(repo, call.parts["revision"], call.parts["path"])
    headers = {"X-Repo-Commit": commit.oid, "Accept-Ranges": "bytes"}
    if blob.lfs:
        name = quote(call.parts["path"], safe="")
        headers["Location"] = f"{call.hub.storage_url}/large-files/{blob.sha256}?name={name}"
        headers["X-Linked-Etag"], headers["X-Linked-Size"] = f'"{blob.etag}"', str(len(blob.content))
        return Reply(302, b"Found. Redirecting", headers)
    return piece(call, blob, headers)


def find_file(repo: Repo, revision: str, path: str) -> tuple[Commit, Blob]:
    commit = repo.find(revision)
    if path not in commit.files:
        raise HubError(404, "Entry not found", "EntryNotFound", commit.oid)
    return commit, commit.files[path]


@route("GET", "/large-files/(?P<oid>[0-9a-f]{64})")
def large_file(call: Call) -> Reply:
    """Gives a large file from its storage, which is another site: a token must not come here."""
    if "Authorization" in call.headers:
        raise HubError(400, "Only one auth mechanism is allowed")
    content = call.store.large_files.get(call.parts["oid"])
    if content is None:
        raise HubError(404, "NoSuchKey")
    return piece(call, Blob(content, lfs=True), {"Accept-Ranges": "bytes"})


def piece(call: Call, blob: Blob, headers: dict[str, str]) -> Reply:
    """Gives the bytes that a Range header asks for, or all of them."""
    headers = headers | {"ETag": f'"{blob.etag}"', "Content-Type": "application/octet-stream"}
    asked = re.fullmatch(r"bytes=(\d+)-(\d*)", call.headers.get("Range", ""))
    if asked is None:
        return Reply(200, blob.content, headers)
    size = len(blob.content)
    first, last = int(asked[1]), min(int(asked[2] or size), size - 1)
    if first > last:
        return Reply(416, b"", headers | {"Content-Range": f"bytes */{size}"})
    headers["Content-Range"] = f"bytes {first}-{last}/{size}"
    return Reply(206, blob.content[first : last + 1], headers)
