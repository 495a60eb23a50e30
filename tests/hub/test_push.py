"""`textxfer push`: a finished run goes to the Hub whole, once, and comes back the same."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import textxfer
from tests.hub import jobs
from tests.hub.client import Client, Finished
from tests.hub.server import Hub
from tests.trained import reviews

ID = "user/pushed"
MODEL = {"README.md", "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
FILES = MODEL | {"metrics.json", "recipe.yaml", "report.html"}
TEXTS = ["the film was a delight", "the soup came cold and the waiter was rude", "we loved the view " * 30]
MODES = pytest.mark.parametrize("mode", ["regular", "lfs"])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, bert: Path) -> Path:
    """A finished run whose rows and checkpoint are local files."""
    place = tmp_path_factory.mktemp("somebody")
    (place / "private").mkdir()
    for split, rows in {"train": reviews(), "test": reviews()[10:]}.items():
        lines = [f'{row["label"]},"{row["text"]}"\n' for row in rows]
        (place / "private" / f"{split}.csv").write_text("label,text\n" + "".join(lines))
    recipe: dict[str, Any] = {
        "name": "to-push",
        "checkpoint": str(bert),
        "dataset": str(place / "private"),
        "task": {"name": "sentiment", "max_length": 32},
        "train": {"max_steps": 6, "batch_size": 8, "learning_rate": 1e-2, "precision": "fp32"},
        "hub": {"language": "en", "license": "apache-2.0", "tags": ["reviews"]},
        "output": {"directory": str(place / "runs")},
    }
    return textxfer.run_recipe(recipe).folder


@pytest.fixture
def pusher(hub: Hub, client: Callable[..., Client], mode: str) -> Client:
    """A user whose client and Hub agree on how large files come."""
    hub.upload_mode = mode
    return client("token-of-user", **({"HF_HUB_DISABLE_XET": 1} if mode == "lfs" else {}))


def push(user: Client, *words: Any) -> Finished:
    done = user.run("-m", "textxfer", "push", *map(str, words))
    assert user.token is None or user.token not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def files_of(hub: Hub, id: str = ID, revision: str = "main") -> dict[str, bytes]:
    files = hub.repo("model", id).find(revision).files
    return {name: blob.content for name, blob in files.items() if name != ".gitattributes"}


@pytest.mark.slow
@MODES
def test_a_push_comes_back_the_same_and_a_second_one_changes_nothing(
    hub: Hub, client: Callable[..., Client], pusher: Client, run: Path, mode: str
) -> None:
    first = push(pusher, run, ID, "--tag", "v1")

    assert first.code == 0, first.stderr
    assert first.stdout == f"{hub.url}/{ID}\n"
    assert "report.html and README.md may show texts of the rows" in first.stderr
    repo = hub.repo("model", ID)
    assert [commit.author for commit in repo.history("main")] == ["user", "user"]
    assert not repo.private
    assert repo.tags == {"v1": repo.branches["main"]}
    assert set(files_of(hub)) == FILES
    assert hub.count("PUT", "/large-files/") == (1 if mode == "lfs" else 0)

    expected = textxfer.pipeline(run)(TEXTS)
    for way, predictions in client().call(jobs.predict, ID, TEXTS).items():
        assert [each["label"] for each in predictions] == [each["label"] for each in expected], way
        scores = [each["score"] for each in expected]
        assert [each["score"] for each in predictions] == pytest.approx(scores, abs=1e-5), way

    second = push(pusher, run, ID, "--tag", "v1")
    assert second.code == 0, second.stderr
    assert "all was there already" in second.stderr
    assert len(repo.commits) == 2
    assert hub.count("POST", "/commit/") == 1
    assert hub.count("POST", "/tag/") == 1


def test_what_is_pushed_tells_nothing_of_the_machine(
    hub: Hub, client: Callable[..., Client], run: Path, bert: Path
) -> None:
    client("token-of-user").call(jobs.push_run, run, [ID])
    files = files_of(hub)
    for name, content in files.items():
        for place in (str(run.parent), str(run.parent.parent), str(bert.parent), str(Path.home()) + "/", "token-of"):
            assert place.encode() not in content, (name, place)
        assert b"../" not in content, name
    recipe = yaml.safe_load(files["recipe.yaml"])
    data = run.parents[1] / "private"
    hashes = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in data.iterdir()}
    listed = "".join(f"{hashes[name]}  {name}\n" for name in sorted(hashes))
    assert recipe["dataset"]["path"] == f"private@sha256:{hashlib.sha256(listed.encode()).hexdigest()}"
    assert re.fullmatch(r"bert@sha256:[0-9a-f]{64}", recipe["checkpoint"]["id"])
    assert recipe["output"]["directory"] == "runs"
    assert recipe["train"] == yaml.safe_load((run / "recipe.yaml").read_text())["train"]


@pytest.mark.slow
def test_snippets_of_a_pushed_card_run_as_printed(hub: Hub, client: Callable[..., Client], run: Path) -> None:
    client("token-of-user").call(jobs.push_run, run, [ID])
    card = files_of(hub)["README.md"].decode()
    snippets = re.findall(r"```python\n(.*?)```", card, flags=re.DOTALL)
    assert len(snippets) == 2
    labels = []
    for code in snippets:
        assert f'model = "{ID}"\n' in code
        done = client().run("-c", code)
        assert done.code == 0, done.stderr
        labels.append(re.findall(r"'label': '(\w+)', 'score': (0\.\d{4})", done.stdout))
    assert labels[0] == labels[1] != []
    at_home = (run / "model" / "README.md").read_text()
    assert re.findall(r'model = "\."  # .*\n', at_home) != []


def test_a_dry_run_lists_all_and_changes_nothing(hub: Hub, client: Callable[..., Client], run: Path) -> None:
    done = push(client("token-of-user"), run, ID, "--dry-run", "--private")
    assert done.code == 0, done.stderr
    listed = {
        name: int(size.replace(",", "")) for name, size in re.findall(r"^(\S+) +([\d,]+) bytes", done.stdout, re.M)
    }
    assert set(listed) == FILES
    assert listed["model.safetensors"] == (run / "model" / "model.safetensors").stat().st_size
    assert "report.html and README.md may show texts of the rows" in done.stdout
    assert f"would go to {ID} (private, to be made), branch main" in done.stdout
    assert hub.store.repos == {}
    assert {each.method for each in hub.requests} <= {"GET"}


def test_only_what_is_on_the_list_goes(hub: Hub, client: Callable[..., Client], run: Path, tmp_path: Path) -> None:
    import shutil

    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    for name in ("training_args.bin", "optimizer.pt", ".env", "notes.txt", "sub/config.json"):
        (copy / "model" / name).parent.mkdir(exist_ok=True)
        (copy / "model" / name).write_text("secret")
    hub.put("model", ID, {"model-00001-of-00002.safetensors": b"old", "extra.md": b"theirs"})
    client("token-of-user").call(jobs.push_run, copy, [ID])
    assert set(files_of(hub)) == FILES | {"extra.md"}, "old shards go, what others put there stays"
    assert len(hub.repo("model", ID).history("main")) == 3


def test_branches_tags_and_visibility(hub: Hub, client: Callable[..., Client], run: Path) -> None:
    hub.put("model", "user/open", {"README.md": b"# Another"}, tag="v1")
    hub.put("model", "user/open", {"README.md": b"# Newer"})
    hub.put("model", "user/secret", {"README.md": b"# Another"}, private=True)
    outcomes = client("token-of-user").call(
        jobs.push_run,
        run,
        ["user/new", {"private": True, "revision": "next", "tag": "v1"}],
        ["user/new", {"private": True, "revision": "next", "tag": "v1"}],
        ["user/secret"],
        ["user/open", {"private": True}],
        ["user/open", {"tag": "v1"}],
        ["user/open", {"revision": "v1"}],
        ["user/open", {"tag": "main"}],
        ["team/shared"],
    )
    assert outcomes[0][1] is True
    assert outcomes[1] == [outcomes[0][0], False]
    assert outcomes[0][0] == f"{hub.url}/user/new/tree/next"
    new = hub.repo("model", "user/new")
    assert new.private
    assert new.tags == {"v1": new.branches["next"]}
    assert set(files_of(hub, "user/new", "next")) == FILES
    assert set(files_of(hub, "user/new")) == set()
    assert outcomes[2][1] is True
    assert hub.repo("model", "user/secret").private
    for outcome, words in zip(
        outcomes[3:7], ("is public", "tag v1 is there", "v1 is a tag", "main is a branch"), strict=True
    ):
        assert words in outcome[0]
        assert outcome[1] is None
    assert set(files_of(hub, "user/open")) == {"README.md"}
    assert outcomes[7] == [f"{hub.url}/team/shared", True]


BEFORE: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "no token": ({"token": None}, ("needs a token", "HF_TOKEN", "hf auth login")),
    "wrong token": ({"token": "nobody-s"}, ("does not know the token",)),
    "token that reads": ({"token": "token-of-reader"}, ("may only read", "write access")),
    "token that reads, repository there": ({"token": "token-of-reader", "id": "user/there"}, ("no right to write",)),
    "another's name": ({"id": "stranger/model"}, ("user may not make it", "user/..., team/...")),
    "another's repository": ({"token": "token-of-stranger", "id": "user/there"}, ("no right to write",)),
    "a name with dots": ({"id": "user/a..b"}, ("`user/a..b` cannot be a repository's name",)),
    "a name with spaces": ({"id": "user/my model"}, ("`user/my model` cannot be",)),
    "a name without user": ({"id": "model"}, ("`model` is not of the form user/name",)),
    "a data set": ({"id": "user/rows"}, ("is a data set on the Hub",)),
    "a space": ({"id": "user/demo"}, ("is a space on the Hub",)),
    "down": ({"down": True}, ("the Hub cannot be reached",)),
    "offline": ({"settings": {"HF_HUB_OFFLINE": 1}}, ("cannot be reached", "HF_HUB_OFFLINE")),
    "error 500": ({"fault": {"status": 500}}, ("the Hub has trouble (500",)),
    "too many requests": ({"fault": {"status": 429}}, ("asks for patience (429",)),
    "cut off": ({"fault": {"cut_download": 5}}, ("the line broke off",)),
    "reset": ({"fault": {"cut_download": -1, "reset": True}}, ("the line broke off",)),
}


@pytest.mark.parametrize("case", BEFORE)
def test_what_is_wrong_before_a_push_is_said_and_nothing_is_changed(
    case: str, hub: Hub, client: Callable[..., Client], run: Path
) -> None:
    options, says = BEFORE[case]
    hub.put("model", "user/there", {"README.md": b"# Model"})
    hub.put("dataset", "user/rows", {"train.csv": b"text,label\n"})
    hub.put("space", "user/demo", {"app.py": b""})
    commits = {key: len(repo.commits) for key, repo in hub.store.repos.items()}
    user = client(options.get("token", "token-of-user"), **options.get("settings", {}))
    if "fault" in options:
        hub.fail("", times=None, **options["fault"])
    if options.get("down"):
        hub.stop()
    done = push(user, run, options.get("id", ID))
    assert done.code == 2, done.stderr
    for words in says:
        assert words in done.stderr
    assert {key: len(repo.commits) for key, repo in hub.store.repos.items()} == commits


DURING: dict[str, tuple[str, dict[str, Any], str]] = {
    "409": ("/commit/", {"status": 409}, "clashes with what is there (409"),
    "412": ("/commit/", {"status": 412}, "somebody else has pushed to it at the same time (412"),
    "500": ("/commit/", {"status": 500, "times": 9}, "the Hub has trouble (500"),
    "cut": ("/commit/", {"cut_upload": 100, "times": 9}, "the line broke off"),
    "reset": ("/commit/", {"cut_upload": 100, "reset": True, "times": 9}, "the line broke off"),
    "403": ("/commit/", {"status": 403}, "no right to write there (403"),
    "metadata": ("/validate-yaml", {"status": 400}, "the Hub refuses the model card's metadata"),
}


@MODES
def test_a_push_that_breaks_off_can_be_repeated(hub: Hub, pusher: Client, run: Path, mode: str) -> None:
    faults = [("POST", *fault) for fault in DURING.values()]
    if mode == "lfs":
        faults.insert(0, ("PUT", "/large-files/", {"cut_upload": 1000, "times": 9}, "the line broke off"))
    for method, path, fault, words in faults:
        hub.fail(path, method=method, **fault)
        ((message, new),) = pusher.call(jobs.push_run, run, [ID])
        assert new is None
        assert words in message
        hub.faults.clear()
    assert len(hub.repo("model", ID).commits) == 1, "nothing of it is there"
    hub.fail("/commit/", method="POST", cut_download=-1)  # all is done, but nobody is told
    hub.fail("", seconds=0.2, times=5)  # and the Hub is slow
    lost, again = pusher.call(jobs.push_run, run, [ID], [ID])
    assert "the line broke off" in lost[0]
    assert again == [f"{hub.url}/{ID}", False]
    assert len(hub.repo("model", ID).commits) == 2
    assert set(files_of(hub)) == FILES


def edit(run: Path, what: str) -> None:
    model = run / "model"
    config = json.loads((model / "config.json").read_text())
    if what == "weights":
        from safetensors.torch import load_file, save_file

        weights = load_file(model / "model.safetensors")
        weights["classifier.bias"] += 0.01
        save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    elif what == "labels":
        del config["id2label"], config["label2id"]
        (model / "config.json").write_text(json.dumps(config))
    elif what == "card":
        (model / "README.md").unlink()
    elif what == "metrics":
        (run / "metrics.json").unlink()
    else:
        (model / what).unlink()


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("weights", ("other logits than at the end of the run", "Nothing was uploaded")),
        ("labels", ("names the labels LABEL_0, LABEL_1, and those of the run were bad, good",)),
        ("card", ("has no README.md, the model card; `textxfer report",)),
        ("tokenizer.json", ("has no tokenizer.json",)),
        ("model.safetensors", ("has no model.safetensors",)),
        ("metrics", ("the run has not finished", "--resume")),
    ],
)
def test_a_run_that_was_changed_is_not_pushed(
    what: str, says: tuple[str, ...], hub: Hub, client: Callable[..., Client], run: Path, tmp_path: Path
) -> None:
    import shutil

    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    edit(copy, what)
    done = push(client("token-of-user"), copy, ID)
    assert done.code == 2
    for words in says:
        assert words in done.message
    assert hub.store.repos == {}
