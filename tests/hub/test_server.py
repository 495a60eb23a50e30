"""The loopback Hub itself: what `huggingface_hub` gets from it is what the real one gives."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.hub import jobs
from tests.hub.client import Client
from tests.hub.server import Hub
from tests.hub.storage import Blob, HubError, git_hash

ID = "user/thing"
FILES = {"config.json": b"{}", "data/a.txt": b"abc", "data/deep/b.txt": b"", "model.safetensors": b"\0" * 5000}


def outcomes(client: Client, *calls: tuple[str, dict[str, Any]]) -> list[Any]:
    return [tuple(outcome) for outcome in client.call(jobs.try_each, calls)]


def test_git_hashes_are_git_s() -> None:
    assert git_hash(b"") == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
    assert git_hash(b"hello\n") == "ce013625030ba8dba906f756967f9e9ca394464a"
    assert Blob(b"hello\n", lfs=True).git_oid == git_hash(Blob(b"hello\n", lfs=True).pointer)


def test_snapshots_never_change(hub: Hub) -> None:
    repo = hub.put("model", ID, FILES, tag="v1")
    hub.put("model", ID, {"config.json": b"[]"})
    assert repo.find("v1").files["config.json"].content == b"{}"
    assert repo.find("main").files["config.json"].content == b"[]"
    assert [each.oid for each in repo.history("main")][1] == repo.tags["v1"]
    with pytest.raises(TypeError):
        repo.find("main").files["config.json"] = Blob(b"")  # type: ignore[index]
    with pytest.raises(HubError, match="v2"):
        repo.find("v2")


def test_who_may_do_what(hub: Hub, client: Callable[..., Client]) -> None:
    hub.put("model", "user/open", FILES)
    hub.put("model", "user/secret", FILES, private=True)
    hub.put("model", "user/gated", FILES).gated_for = frozenset({"friend"})
    create, see, write = "create_repo", "model_info", {"method": "auth_check", "write": True}
    calls = [
        ("whoami", {}),
        (see, {"repo_id": "user/open"}),
        (see, {"repo_id": "user/secret"}),
        (see, {"repo_id": "user/nothing"}),
        ("auth_check", {"repo_id": "user/gated"}),
        (write["method"], {"repo_id": "user/open", "write": True}),
        (create, {"repo_id": "user/open"}),
        (create, {"repo_id": "user/new"}),
    ]
    hidden, denied = ("RepositoryNotFoundError", 404), ("HfHubHTTPError", 403)
    expected: dict[str | None, list[Any]] = {
        "token-of-user": ["user", "open", "secret", hidden, "None", "None", ("HfHubHTTPError", 409), "user/new"],
        "token-of-reader": ["user", "open", "secret", hidden, "None", denied, denied, denied],
        "token-of-stranger": ["stranger", "open", hidden, hidden, ("GatedRepoError", 403), denied, denied, denied],
        "nonsense": [("HfHubHTTPError", 401)] * 8,
    }
    for token, wanted in expected.items():
        for call, outcome, want in zip(calls, outcomes(client(token), *calls), wanted, strict=True):
            if isinstance(want, tuple):
                assert outcome == want, (token, call)
            else:
                assert outcome[0] is None, (token, call)
                assert want in str(outcome[1]), (token, call)


def test_strangers_without_a_token(hub: Hub, client: Callable[..., Client]) -> None:
    hub.put("model", "user/secret", FILES, private=True)
    hub.put("dataset", "user/gated", FILES).gated_for = frozenset()
    assert outcomes(
        client(),
        ("model_info", {"repo_id": "user/secret"}),
        ("hf_hub_download", {"repo_id": "user/gated", "filename": "config.json", "repo_type": "dataset"}),
        ("create_repo", {"repo_id": "user/new"}),
    ) == [("RepositoryNotFoundError", 404), ("GatedRepoError", 401), ("HfHubHTTPError", 401)]


def test_revisions_tags_and_branches(hub: Hub, client: Callable[..., Client]) -> None:
    first = hub.put("dataset", ID, FILES).find("main").oid
    hub.put("dataset", ID, {"config.json": b"[]"})
    here = {"repo_id": ID, "repo_type": "dataset"}
    found = outcomes(
        client("token-of-user"),
        ("create_tag", here | {"tag": "v1", "revision": first}),
        ("create_tag", here | {"tag": "v1"}),
        ("create_branch", here | {"branch": "refs/next", "revision": "v1"}),
        ("list_repo_files", here | {"revision": "refs/next"}),
        ("list_repo_files", here),
        ("list_repo_refs", here),
        ("repo_info", here | {"revision": "v9"}),
        ("delete_tag", here | {"tag": "v1"}),
        ("delete_tag", here | {"tag": "v1"}),
        ("list_repo_commits", here),
        ("delete_repo", here),
        ("repo_exists", here),
    )
    assert [found[1], found[6], found[8]] == [
        ("HfHubHTTPError", 409),
        ("RevisionNotFoundError", 404),
        ("RevisionNotFoundError", 404),
    ]
    assert found[3] == (None, sorted(FILES))
    assert found[4] == (None, ["config.json"])
    assert "name='v1'" in found[5][1]
    assert found[11] == (None, False)


def test_commits_change_files_and_mind_their_parent(hub: Hub, client: Callable[..., Client]) -> None:
    first = hub.put("model", ID, FILES).find("main").oid
    here = {"repo_id": ID, "commit_message": "m"}
    found = outcomes(
        client("token-of-user", HF_HUB_DISABLE_XET=1),
        ("upload_file", here | {"path_or_fileobj": "README.md", "path_in_repo": "x", "parent_commit": "0" * 40}),
        ("delete_file", here | {"path_in_repo": "config.json", "parent_commit": "0" * 40}),
        ("delete_file", here | {"path_in_repo": "config.json", "parent_commit": first}),
        ("delete_file", here | {"path_in_repo": "config.json"}),
        ("delete_folder", here | {"path_in_repo": "data"}),
        ("delete_file", here | {"path_in_repo": "model.safetensors", "revision": "v9"}),
    )
    assert [each[0] for each in found[1:]] == [
        "HfHubHTTPError",
        None,
        "RemoteEntryNotFoundError",
        None,
        "RevisionNotFoundError",
    ]
    assert found[1][1] == 412
    repo = hub.repo("model", ID)
    assert list(repo.find("main").files) == ["model.safetensors"]
    assert sorted(repo.find(first).files) == sorted(FILES)


def test_faults_befall_as_many_requests_as_they_say(hub: Hub, client: Callable[..., Client]) -> None:
    hub.put("model", ID, FILES)
    hub.fail("/api/models/user/thing", status=503, times=2)
    hub.fail("/api/models/user/thing", status=429, retry_after=0)
    info = ("model_info", {"repo_id": ID})
    found = outcomes(client(), *[info] * 4)
    assert [each[1] for each in found[:3]] == [503, 503, 429]
    assert found[3][0] is None
    assert [each.status for each in hub.requests] == [503, 503, 429, 200]


def test_downloads_are_whole_or_fail(hub: Hub, client: Callable[..., Client]) -> None:
    hub.put("model", ID, FILES)
    hub.fail("/large-files/", method="GET", cut_download=1000)
    get = ("hf_hub_download", {"repo_id": ID, "filename": "model.safetensors"})
    user = client("token-of-user")
    ((kind, path),) = outcomes(user, get)
    assert kind is None
    assert Path(path).read_bytes() == FILES["model.safetensors"]
    assert [each.status for each in hub.seen("GET", "/large-files/")] == [0, 200]
    assert {each.by for each in hub.seen(path="/large-files/")} == {None}, "the token stays with the Hub"


@pytest.mark.parametrize(
    ("asked", "status", "first", "last"),
    [
        ("bytes=0-9", 206, 0, 9),
        ("bytes=25990-", 206, 25990, 25999),
        ("bytes=0-99999", 206, 0, 25999),
        ("", 200, 0, 25999),
    ],
)
def test_ranges(hub: Hub, asked: str, status: int, first: int, last: int) -> None:
    content = bytes(range(26)) * 1000
    hub.put("model", ID, {"a.txt": content, "b.bin": content})
    for file in ("a.txt", "b.bin"):
        request = urllib.request.Request(f"{hub.url}/{ID}/resolve/main/{file}", headers={"Range": asked})
        with urllib.request.urlopen(request) as reply:
            assert reply.status == status
            assert reply.read() == content[first : last + 1]
    beyond = urllib.request.Request(f"{hub.url}/{ID}/resolve/main/a.txt", headers={"Range": "bytes=26000-"})
    with pytest.raises(urllib.error.HTTPError, match="416"):
        urllib.request.urlopen(beyond)


def test_a_slow_hub_is_waited_for(hub: Hub, client: Callable[..., Client]) -> None:
    hub.put("model", ID, FILES)
    hub.fail("/resolve/", seconds=0.3, times=None)
    assert outcomes(client(), ("hf_hub_download", {"repo_id": ID, "filename": "config.json"}))[0][0] is None


def test_a_card_is_looked_at(hub: Hub, client: Callable[..., Client]) -> None:
    cards = ["---\nlicense: mit\n---\n# Card", "---\nlicense: mit\n", "---\n\tlicense: mit\n---\n"]
    found = outcomes(client("token-of-user"), *[("_validate_yaml", {"content": card}) for card in cards])
    assert [each[0] for each in found] == [None, "ValueError", "ValueError"]
