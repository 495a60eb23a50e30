"""Routes that change something: repositories, commits, large files, tags and branches."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

from tests.hub.exchange import API, PAGE, Call, Reply, route
from tests.hub.storage import LFS_SUFFIXES, MAIN, Blob, HubError, Repo, git_hash


def named(body: dict[str, Any], call: Call) -> tuple[str, str]:
    """Gives kind and id of the repository that a body names; without an organization it is the caller's own."""
    owner = body.get("organization") or (call.account.name if call.account else "")
    return body.get("type") or "model", f"{owner}/{body['name']}"


@route("POST", "/api/repos/create")
def create_repo(call: Call) -> Reply:
    body = call.json()
    kind, id = named(body, call)
    call.store.check_namespace(id.split("/")[0], call.account)
    assert call.account is not None
    private = body.get("visibility") == "private" or body.get("private", False)
    try:
        call.store.create(kind, id, call.account.name, private)
    except HubError as error:
        if error.status != 409:
            raise
        return Reply.of_json({"error": error.message, "url": call.hub.page(kind, id)}, 409)
    return Reply.of_json({"url": call.hub.page(kind, id), "name": id, "id": f"id-of-{id}"})


@route("DELETE", "/api/repos/delete")
def delete_repo(call: Call) -> Reply:
    kind, id = named(call.json(), call)
    call.store.writable(kind, id, call.account)
    del call.store.repos[kind, id]
    return Reply(200, b"OK")


@route("POST", "/api/validate-yaml")
def validate_card(call: Call) -> Reply:
    """Looks at a card's metadata as far as one can without a YAML parser."""
    text = call.json()["content"]
    errors, warnings = [], []
    head, _, rest = text.removeprefix("---\n").partition("\n---")
    if not text.startswith("---\n"):
        warnings.append({"message": "empty or missing yaml metadata in repo card"})
    elif not rest and not text.rstrip().endswith("---"):
        errors.append({"message": "metadata are opened by --- and never closed"})
    else:
        errors += [{"message": f"tab in metadata: {line!r}"} for line in head.splitlines() if "\t" in line]
    return Reply.of_json({"errors": errors, "warnings": warnings}, 400 if errors else 200)


@route("POST", rf"{API}/preupload/(?P<revision>[^/]+)")
def preupload(call: Call) -> Reply:
    """Says how each file is to come, and the hash of the one that is there, so that what has not changed stays home."""
    repo = call.store.writable(call.kind, call.id, call.account)
    commit = repo.find(call.parts["revision"])
    answers = []
    for file in call.json()["files"]:
        path, there = file["path"], commit.files.get(file["path"])
        large = call.hub.upload_mode == "lfs" and path.endswith(LFS_SUFFIXES)
        oid = None if there is None else there.sha256 if large else git_hash(there.content)
        mode = "lfs" if large else "regular"
        answers.append({"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": oid})
    return Reply.of_json({"files": answers})


@route("POST", rf"{PAGE}\.git/info/lfs/objects/batch")
def large_files_batch(call: Call) -> Reply:
    call.store.writable(call.kind, call.id, call.account)
    objects = []
    for item in call.json()["objects"]:
        entry: dict[str, Any] = {"oid": item["oid"], "size": item["size"], "authenticated": True}
        if item["oid"] not in call.store.large_files:
            upload = f"{call.hub.storage_url}/large-files/{item['oid']}?size={item['size']}"
            verify = f"{call.hub.page(call.kind, call.id)}.git/info/lfs/verify"
            entry["actions"] = {"upload": {"href": upload, "header": {}}, "verify": {"href": verify, "header": {}}}
        objects.append(entry)
    return Reply.of_json({"transfer": "basic", "objects": objects})


@route("PUT", "/large-files/(?P<oid>[0-9a-f]{64})")
def put_large_file(call: Call) -> Reply:
    """Takes a large file into its storage, which is another site: a token must not come here."""
    if "Authorization" in call.headers:
        raise HubError(400, "Only one auth mechanism is allowed")
    if len(call.body) != int(call.options["size"][0]) or hashlib.sha256(call.body).hexdigest() != call.parts["oid"]:
        raise HubError(400, "The content does not have the size and hash it was announced with")
    call.store.large_files[call.parts["oid"]] = call.body
    return Reply(200, b"", {"ETag": f'"{call.parts["oid"]}"'})


@route("POST", rf"{PAGE}\.git/info/lfs/verify")
def verify_large_file(call: Call) -> Reply:
    call.store.writable(call.kind, call.id, call.account)
    body = call.json()
    content = call.store.large_files.get(body["oid"])
    if content is None or len(content) != body["size"]:
        raise HubError(404, "The file has not arrived")
    return Reply.of_json({"message": "ok"})


@route("POST", rf"{API}/commit/(?P<revision>[^/]+)")
def commit(call: Call) -> Reply:
    """Takes one line of JSON for the header and one for each file."""
    repo = call.store.writable(call.kind, call.id, call.account)
    assert call.account is not None
    if call.asks("create_pr"):
        raise HubError(400, "The loopback Hub has no pull requests")
    branch = call.parts["revision"]
    if branch not in repo.branches:
        raise HubError(404, f"Invalid rev id: {branch}", "RevisionNotFound")
    head = repo.find(branch)
    files, title = dict(head.files), "no title"
    for line in call.body.splitlines():
        item = json.loads(line)
        if item["key"] == "header":
            title = item["value"]["summary"]
            if item["value"].get("parentCommit", head.oid) != head.oid:
                raise HubError(412, "A commit has happened since. Please refresh and try again.")
        else:
            apply(call, files, item["key"], item["value"])
    new = repo.commit(branch, files, title, call.account.name)
    page = f"{call.hub.page(repo.kind, repo.id)}/commit/{new.oid}"
    return Reply.of_json({"success": True, "commitOid": new.oid, "commitUrl": page, "hookOutput": ""})


def apply(call: Call, files: dict[str, Blob], key: str, value: dict[str, Any]) -> None:
    """Carries out one line of a commit on a dict of files."""
    path = value["path"]
    if path.startswith("/") or ".." in path.split("/"):
        raise HubError(400, f"Invalid path: {path}")
    if key == "file":
        files[path] = Blob(base64.b64decode(value["content"], validate=True))
    elif key == "lfsFile":
        if value["oid"] not in call.store.large_files:
            raise HubError(400, f"The content of {path} was never uploaded")
        files[path] = Blob(call.store.large_files[value["oid"]], lfs=True)
    elif key == "deletedFile":
        if files.pop(path, None) is None:
            raise HubError(404, f"{path} does not exist", "EntryNotFound")
    elif key == "deletedFolder":
        for name in [name for name in files if name.startswith(f"{path.rstrip('/')}/")]:
            del files[name]
    else:
        raise HubError(400, f"Unknown line of a commit: {key}")


@route("POST", rf"{API}/tag/(?P<revision>[^/]+)")
def create_tag(call: Call) -> Reply:
    repo = call.store.writable(call.kind, call.id, call.account)
    return point(repo.tags, call.json()["tag"], repo, call.parts["revision"])


@route("DELETE", rf"{API}/tag/(?P<tag>[^/]+)")
def delete_tag(call: Call) -> Reply:
    repo = call.store.writable(call.kind, call.id, call.account)
    if repo.tags.pop(call.parts["tag"], None) is None:
        raise HubError(404, f"Tag {call.parts['tag']} does not exist", "RevisionNotFound")
    return Reply.of_json({})


@route("POST", rf"{API}/branch/(?P<branch>[^/]+)")
def create_branch(call: Call) -> Reply:
    repo = call.store.writable(call.kind, call.id, call.account)
    return point(repo.branches, call.parts["branch"], repo, call.json().get("startingPoint", MAIN))


def point(names: dict[str, str], name: str, repo: Repo, revision: str) -> Reply:
    if name in repo.branches or name in repo.tags:
        raise HubError(409, f"Reference already exists: {name}")
    names[name] = repo.find(revision).oid
    return Reply.of_json({})
