"""A trained model goes to the Hub and comes back the same to someone who has nothing but its name."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import textxfer
from tests.hub import jobs
from tests.hub.client import Client
from tests.hub.server import Hub

TEXTS = ["the film was a delight", "the soup came cold and the waiter was rude", "we loved the view " * 30]
MODES = pytest.mark.parametrize("mode", ["regular", "lfs"])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, bert: Path) -> Path:
    """The model of a short run."""
    rows = [{"text": f"{word} {number}", "label": word} for number in range(12) for word in ("good", "bad")]
    recipe: dict[str, Any] = {
        "name": "to-push",
        "checkpoint": str(bert),
        "task": {"name": "sentiment", "max_length": 32},
        "train": {"max_steps": 4, "batch_size": 8, "learning_rate": 1e-2, "precision": "fp32"},
        "output": {"directory": str(tmp_path_factory.mktemp("runs"))},
    }
    return textxfer.run_recipe(recipe, splits=rows).model


@pytest.fixture
def pusher(hub: Hub, client: Callable[..., Client], mode: str) -> Client:
    """A user whose client and Hub agree on how large files come."""
    hub.upload_mode = mode
    return client("token-of-user", **({"HF_HUB_DISABLE_XET": 1} if mode == "lfs" else {}))


@pytest.mark.slow
@MODES
def test_a_pushed_model_comes_back_the_same(
    hub: Hub, client: Callable[..., Client], pusher: Client, model: Path, mode: str
) -> None:
    (oid,) = pusher.call(jobs.push, "user/pushed", model, by="create_commit")
    head = hub.repo("model", "user/pushed").find("main")
    assert head.oid == oid
    assert head.files["model.safetensors"].lfs == (mode == "lfs")

    expected = textxfer.pipeline(model)(TEXTS)
    for way, predictions in client().call(jobs.predict, "user/pushed", TEXTS).items():
        assert [each["label"] for each in predictions] == [each["label"] for each in expected], way
        scores = [each["score"] for each in expected]
        assert [each["score"] for each in predictions] == pytest.approx(scores, abs=1e-5), way
    assert {each.by for each in hub.seen("GET")} <= {None, "user"}


@pytest.mark.slow
def test_a_head_of_textxfer_s_comes_back_with_its_backbone(
    hub: Hub, client: Callable[..., Client], with_head: Callable[..., Path], tmp_path: Path
) -> None:
    folder, owner, user = with_head() / "model", client("token-of-user"), client()
    owner.call(jobs.push, "user/headed", folder, by="create_commit")
    expected = [each["score"] for each in textxfer.pipeline(folder)(TEXTS)]
    for asked in (True, False):  # the second time all of it is in the cache
        found = user.call(jobs.classify, "user/headed", TEXTS)
        assert [each["score"] for each in found] == pytest.approx(expected, abs=1e-5)
        assert (hub.count("GET", "/head.safetensors") > 0) == asked
        hub.requests.clear()
    for file in ("head.json", "head.safetensors"):
        part = Path(shutil.copytree(folder, tmp_path / file))
        (part / file).unlink()
        owner.call(jobs.push, f"user/no-{file}", part, by="create_commit")
        found = client().call(jobs.classify, f"user/no-{file}", TEXTS)
        assert found.startswith(f"user/no-{file}: has no {file}, though its config.json says")


@MODES
@pytest.mark.parametrize("by", ["create_commit", "upload_folder"])
def test_the_same_push_again_makes_no_commit(hub: Hub, pusher: Client, model: Path, by: str, mode: str) -> None:
    first, second = pusher.call(jobs.push, "user/pushed", model, by=by, times=2)

    assert first == second
    repo = hub.repo("model", "user/pushed")
    assert [commit.title for commit in repo.history("main")] == ["push", "initial commit"]
    assert hub.count("POST", "/commit/") == 1
    assert hub.count("PUT", "/large-files/") == (1 if mode == "lfs" else 0)
    files = {path: blob.content for path, blob in repo.find("main").files.items() if path != ".gitattributes"}
    assert files == {str(path.relative_to(model)): path.read_bytes() for path in model.rglob("*") if path.is_file()}


@MODES
def test_a_push_that_loses_the_line_can_be_repeated(hub: Hub, pusher: Client, model: Path, mode: str) -> None:
    hub.fail("/commit/", method="POST", cut_upload=100)
    with pytest.raises(AssertionError, match="Error"):
        pusher.call(jobs.push, "user/pushed", model, by="create_commit")
    assert len(hub.repo("model", "user/pushed").commits) == 1, "nothing of it is there"

    hub.fail("/commit/", method="POST", cut_download=-1)  # all is done, but nobody is told
    with pytest.raises(AssertionError, match="Error"):
        pusher.call(jobs.push, "user/pushed", model, by="create_commit")
    done = hub.repo("model", "user/pushed").find("main").oid

    assert pusher.call(jobs.push, "user/pushed", model, by="create_commit") == [done]
    assert len(hub.repo("model", "user/pushed").commits) == 2


@pytest.mark.parametrize("mode", ["lfs"])
@pytest.mark.parametrize("fault", [{"cut_upload": 1000}, {"status": 500, "times": 2}, {"cut_download": -1}], ids=str)
def test_a_broken_upload_of_weights_is_tried_again(
    hub: Hub, pusher: Client, model: Path, fault: dict[str, int]
) -> None:
    hub.fail("/large-files/", method="PUT", **fault)
    pusher.call(jobs.push, "user/pushed", model, by="create_commit")
    weights = hub.repo("model", "user/pushed").find("main").files["model.safetensors"]
    assert weights.content == (model / "model.safetensors").read_bytes()
    assert hub.count("PUT", "/large-files/") == 1 + fault.get("times", 1)
