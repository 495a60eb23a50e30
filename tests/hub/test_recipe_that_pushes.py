"""A recipe with `hub.repo`: rights are checked before training, the model is pushed at the end, nothing is lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.hub.client import Client
from tests.hub.server import Hub
from tests.hub.test_push import FILES, files_of
from tests.unit.publishing.test_model_card import parts


@pytest.fixture
def recipe(bert: Path, reviews_csv: dict[str, bytes], tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Gives a recipe of two steps, all of it local, that says where the model goes."""

    def make(repo: str = "user/mine", **hub: Any) -> dict[str, Any]:
        return {
            "name": "mine",
            "checkpoint": str(bert),
            "dataset": str(tmp_path / "reviews"),
            "task": {"name": "sentiment", "max_length": 32},
            "train": {"max_steps": 2, "batch_size": 4, "precision": "fp32"},
            "hub": {"repo": repo} | hub,
        }

    return make


@pytest.mark.slow
def test_a_run_ends_on_the_hub(hub: Hub, client: Callable[..., Client], recipe: Callable[..., dict[str, Any]]) -> None:
    user = client("token-of-user")
    about = {"private": True, "license": "mit", "language": ["en", "de"], "tags": ["hotels"]}
    done = user.train(recipe(**about) | {"train": {"max_steps": 2, "batch_size": 4, "seeds": [3, 4]}})
    assert done.code == 0, done.stderr
    assert f"pushed to {hub.url}/user/mine" in done.stderr
    assert "token-of-user" not in done.stdout + done.stderr
    repo = hub.repo("model", "user/mine")
    assert repo.private
    assert set(files_of(hub, "user/mine")) == FILES
    assert len(repo.commits) == 2
    metadata, text = parts(files_of(hub, "user/mine")["README.md"].decode())
    assert (metadata["license"], metadata["language"], metadata["tags"][-1]) == ("mit", ["en", "de"], "hotels")
    assert "\n# mine\n" in text
    everything = [path.read_bytes() for path in user.folder.rglob("*") if path.is_file()]
    assert not any(b"token-of-user" in content for content in everything)


@pytest.mark.parametrize(
    ("token", "wanted", "status", "says"),
    [
        (None, {}, None, "a push needs a token"),
        ("nobody-s", {}, None, "the Hub does not know the token"),
        ("token-of-stranger", {}, None, "stranger may not make it"),
        ("token-of-user", {"repo": "user/a..b"}, None, "`user/a..b` cannot be a repository's name"),
        ("token-of-user", {"license": "no such"}, 400, "the Hub refuses the model card's metadata"),
    ],
)
@pytest.mark.parametrize("command", ["run", "check"])
def test_what_cannot_be_pushed_is_not_trained(
    token: str | None, wanted: dict[str, Any], status: int | None, says: str, command: str, hub: Hub,
    client: Callable[..., Client], recipe: Callable[..., dict[str, Any]],
) -> None:  # fmt: skip
    import yaml

    if status is not None:
        hub.fail("/validate-yaml", status=status)
    user = client(token)
    (user.folder / "mine.yaml").write_text(yaml.safe_dump(recipe(**wanted)))
    done = user.run("-m", "textxfer", command, "mine.yaml")
    assert done.code == 2, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert not (user.folder / "runs").exists()
    assert hub.store.repos == {}


@pytest.mark.slow
def test_a_run_whose_push_failed_is_not_lost(
    hub: Hub, client: Callable[..., Client], recipe: Callable[..., dict[str, Any]]
) -> None:
    user = client("token-of-user")
    hub.fail("/commit/", method="POST", status=500, times=None)
    done = user.train(recipe(revision="next"))
    assert done.code == 2, done.stderr
    assert "the Hub has trouble (500" in done.stderr
    assert "nothing of it is lost; textxfer push runs/mine user/mine --revision next" in done.message
    assert (user.folder / "runs" / "mine" / "metrics.json").is_file()

    hub.faults.clear()
    again = user.train(recipe(revision="next"), "--resume")
    assert again.code == 0, again.stderr
    assert set(files_of(hub, "user/mine", "next")) == FILES
    pushed = user.run("-m", "textxfer", "push", "runs/mine")
    assert pushed.code == 0, pushed.stderr
    assert "all was there already" in pushed.stderr
    assert pushed.stdout == f"{hub.url}/user/mine/tree/next\n"
