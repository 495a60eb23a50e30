"""What can go wrong between a recipe and the Hub ends in one clear line, exit code 2, and no run folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.hub.client import Client, Finished
from tests.hub.server import Hub

FOREVER: dict[str, Any] = {"times": None}
CUT: dict[str, Any] = {"method": "GET", "cut_download": 9}
RESET = CUT | {"reset": True}
WEIGHTS = ("its weights (model.safetensors) cannot be fetched", "try again")


@dataclass(frozen=True)
class Case:
    """What is asked for and how the Hub is, and what the message must say.

    Attributes:
        asked: A checkpoint or the id of a data set, perhaps with `@revision`.
        says: Pieces of the message.
        token: HF_TOKEN of who asks.
        fault: What the Hub does to all requests.
        down: Whether the Hub is down.
    """

    asked: str
    says: tuple[str, ...]
    token: str | None = None
    fault: dict[str, Any] = field(default_factory=dict)
    down: bool = False


CHECKPOINTS = {
    "unknown": Case("user/nothing", ("nor a model on the Hub", "hf auth login")),
    "unknown-revision": Case("user/tiny@v9", ("the Hub has user/tiny", "no revision 'v9'")),
    "private": Case("user/secret", ("nor a model on the Hub", "hf auth login")),
    "private-to-others": Case("user/secret", ("nor a model on the Hub",), "token-of-stranger"),
    "wrong-token": Case("user/tiny", ("token", "HF_TOKEN", "hf auth login"), "wrong-token-value"),
    "gated": Case("user/gated", ("is gated", "ask for access")),
    "no-config": Case("user/empty", ("has no config.json",)),
    "data-set": Case("user/reviews", ("nor a model on the Hub",)),
    "no-tokenizer": Case("user/wordless", ("has no tokenizer",)),
    "no-weights": Case("user/weightless", ("has no weights",)),
    "pickle-only": Case("user/pickled", ("pickle only", "@refs/pr/N", "save_pretrained")),
    "error-500": Case("user/tiny", ("the Hub cannot be reached", "500"), fault={"path": "", "status": 500}),
    "down": Case("user/tiny", ("the Hub cannot be reached", "hf download user/tiny"), down=True),
    "config-reset": Case("user/tiny", ("the Hub cannot be reached",), fault={"path": "config.json"} | RESET),
    "weights-500": Case("user/tiny", (*WEIGHTS, "500"), fault={"path": "/large-files/", "status": 500}),
    "weights-cut": Case("user/tiny", (*WEIGHTS, "closed"), fault={"path": "/large-files/"} | CUT),
}
DATA = {
    "unknown": Case("user/nothing", ("doesn't exist", "dataset.hub", "hf auth login")),
    "unknown-revision": Case("user/reviews@v9", ("v9", "dataset.revision")),
    "private": Case("user/secret", ("hf auth login",)),
    "wrong-token": Case("user/reviews", ("token", "HF_TOKEN", "hf auth login"), "wrong-token-value"),
    "gated": Case("user/gated", ("gated", "hf auth login")),
    "no-rows": Case("user/empty", ("user/empty",)),
    "error-500": Case("user/reviews", ("the Hub cannot be reached", "dataset.path"), fault={"path": "", "status": 500}),
    "down": Case("user/reviews", ("the Hub cannot be reached", "dataset.path"), down=True),
    "cut": Case("user/reviews", ("the Hub cannot be reached", "closed"), fault={"path": "train.csv"} | CUT),
    "reset": Case("user/reviews", ("the Hub cannot be reached", "reset"), fault={"path": "train.csv"} | RESET),
}


@pytest.fixture
def full_hub(hub: Hub, bert: Path, reviews_csv: dict[str, bytes]) -> Hub:
    """A Hub with sound repositories and with such as have something missing."""
    whole = {path.name: path.read_bytes() for path in bert.iterdir()}
    tokenizer = {"tokenizer.json", "tokenizer_config.json"}
    hub.put("model", "user/tiny", bert)
    hub.put("model", "user/secret", bert, private=True)
    hub.put("model", "user/gated", bert).gated_for = frozenset()
    hub.put("model", "user/empty", {"README.md": b"# Nothing yet"})
    hub.put("model", "user/wordless", {name: file for name, file in whole.items() if name not in tokenizer})
    hub.put("model", "user/weightless", {name: file for name, file in whole.items() if name != "model.safetensors"})
    pickled = {name: file for name, file in whole.items() if name != "model.safetensors"} | {
        "pytorch_model.bin": b"\x80"
    }
    hub.put("model", "user/pickled", pickled)
    hub.put("dataset", "user/reviews", reviews_csv)
    hub.put("dataset", "user/secret", reviews_csv, private=True)
    hub.put("dataset", "user/gated", reviews_csv).gated_for = frozenset()
    hub.put("dataset", "user/empty", {"README.md": b"# Nothing yet"})
    return hub


def run(case: Case, hub: Hub, user: Client, recipe: dict[str, Any]) -> Finished:
    if case.fault:
        hub.fail(**FOREVER | case.fault)
    if case.down:
        hub.stop()
    return user.train(recipe)


def check(case: Case, finished: Finished, user: Client) -> None:
    assert finished.code == 2, finished.stderr
    assert "Traceback" not in finished.stderr
    for piece in (*case.says, case.asked.split("@")[0]):
        assert piece in finished.message
    assert user.token is None or user.token not in finished.stdout + finished.stderr
    assert not (user.folder / "runs").exists()


@pytest.mark.parametrize("case", CHECKPOINTS.values(), ids=CHECKPOINTS)
def test_a_checkpoint_that_cannot_be_had(
    case: Case,
    full_hub: Hub,
    client: Callable[..., Client],
    hub_recipe: Callable[..., dict[str, Any]],
    reviews: list[dict[str, Any]],
    write_csv: Callable[..., Path],
) -> None:
    user = client(case.token)
    write_csv(user.folder / "rows.csv", reviews)
    check(case, run(case, full_hub, user, hub_recipe(checkpoint=case.asked, dataset="rows.csv")), user)


@pytest.mark.parametrize("case", DATA.values(), ids=DATA)
def test_rows_that_cannot_be_had(
    case: Case, full_hub: Hub, client: Callable[..., Client], hub_recipe: Callable[..., dict[str, Any]]
) -> None:
    user = client(case.token)
    id, _, revision = case.asked.partition("@")
    dataset = {"hub": id} | ({"revision": revision} if revision else {})
    check(case, run(case, full_hub, user, hub_recipe(checkpoint="user/tiny", dataset=dataset)), user)
