"""A recipe whose checkpoint and rows come from the Hub."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.hub import jobs
from tests.hub.client import Client
from tests.hub.server import Hub


@pytest.mark.slow
@pytest.mark.parametrize("xet", [True, False], ids=["xet-as-installed", "xet-disabled-and-private"])
def test_a_run_takes_checkpoint_and_rows_from_the_hub_and_then_from_the_cache(
    hub: Hub,
    client: Callable[..., Client],
    bert: Path,
    reviews_csv: dict[str, bytes],
    hub_recipe: Callable[..., dict[str, Any]],
    xet: bool,
) -> None:
    checkpoint = hub.put("model", "user/tiny", bert, tag="v1", private=not xet)
    hub.put("model", "user/tiny", {"config.json": b"{}"})  # main has moved on: only the tag is sound
    rows = hub.put("dataset", "user/reviews", reviews_csv, tag="first", private=not xet)
    hub.put("dataset", "user/reviews", {"train.csv": b"text,label\nanother,time\n"})
    user = client() if xet else client("token-of-user", HF_HUB_DISABLE_XET=1)
    recipe = hub_recipe(dataset={"hub": "user/reviews", "revision": rows.tags["first"]})

    online = user.train(recipe)

    assert online.code == 0, online.stderr
    assert user.token is None or user.token not in online.stdout + online.stderr
    folder = user.folder / "runs" / "from-hub"
    environment = json.loads((folder / "environment.json").read_text())
    assert environment["checkpoint_revision"] == checkpoint.tags["v1"]
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["num_examples"] == {"train": 40, "validation": 12, "test": 8}
    assert metrics["steps"] == 2
    assert hub.count("GET", "/large-files/") == 1, "the weights are fetched once"

    if not xet:
        texts = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
        assert not any(b"token-of-user" in text for text in texts), "the token is in no file"
        return
    requests = hub.count()
    user.settings["HF_HUB_OFFLINE"] = "1"
    offline = user.train(recipe, "--overwrite")

    assert offline.code == 0, offline.stderr
    assert hub.count() == requests
    again = json.loads((folder / "metrics.json").read_text())
    assert [again[split] for split in ("validation", "test")] == [metrics[split] for split in ("validation", "test")]
    assert json.loads((folder / "environment.json").read_text())["fingerprints"] == environment["fingerprints"]


def test_offline_rows_are_those_of_the_revision_that_was_asked_for(hub: Hub, client: Callable[..., Client]) -> None:
    old = hub.put("dataset", "user/reviews", {"train.csv": b"text,label\nold,a\n"}, tag="v1").tags["v1"]
    hub.put("dataset", "user/reviews", {"train.csv": b"text,label\nnew,a\n"})
    user = client()
    revisions = ["v1", old, "main", None]
    rows = [["old"], ["old"], ["new"], ["new"]]
    assert user.call(jobs.load_rows, "user/reviews", revisions) == rows

    user.settings["HF_HUB_OFFLINE"] = "1"
    *offline, unknown = user.call(jobs.load_rows, "user/reviews", [*revisions, "v7"])
    for revision, found, right in zip(revisions, offline, rows, strict=True):
        assert found == right or f"not those of revision {revision!r}" in found
    assert right in offline, "the newest is there"
    assert "not those of revision 'v7'" in unknown
