"""What users of the loopback Hub do, each in a process of its own (`Client.call`); all of it takes and gives JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def push(id: str, folder: str, by: str, times: int = 1, private: bool = False, **options: Any) -> list[str]:
    """Pushes a folder as a model, again and again, and gives the commit each push ended at."""
    import huggingface_hub

    api = huggingface_hub.HfApi()
    api.create_repo(id, exist_ok=True, private=private)
    pushes = {"create_commit": _push_by_commit, "upload_folder": _push_by_folder}
    return [pushes[by](api, id, Path(folder), **options).oid for _ in range(times)]


def _push_by_commit(api: Any, id: str, folder: Path, **options: Any) -> Any:
    from huggingface_hub import CommitOperationAdd

    files = sorted(path for path in folder.rglob("*") if path.is_file())
    additions = [CommitOperationAdd(str(path.relative_to(folder)), path) for path in files]
    return api.create_commit(id, additions, commit_message="push", **options)


def _push_by_folder(api: Any, id: str, folder: Path, **options: Any) -> Any:
    return api.upload_folder(repo_id=id, folder_path=folder, commit_message="push", **options)


def try_each(calls: list[tuple[str, dict[str, Any]]]) -> list[list[Any]]:
    """Calls methods of HfApi and gives, for each, its error's kind and HTTP status, or None and what it gave."""
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError

    api, outcomes = huggingface_hub.HfApi(), []
    for method, arguments in calls:
        try:
            outcomes.append([None, getattr(api, method)(**arguments)])
        except HfHubHTTPError as error:
            outcomes.append([type(error).__name__, error.response.status_code])
        except Exception as error:
            outcomes.append([type(error).__name__, str(error)])
    return outcomes


def predict(id: str, texts: list[str]) -> dict[str, Any]:
    """Loads a classifier by its id in three ways and gives what each makes of some texts."""
    import torch
    import transformers

    import textxfer

    tokenizer = transformers.AutoTokenizer.from_pretrained(id)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(id)
    with torch.no_grad():
        logits = model(**tokenizer(texts, padding=True, truncation=True, return_tensors="pt")).logits
    stock = transformers.pipeline(model=id)(texts, truncation=True)
    own = textxfer.pipeline(id)(texts)
    labels = [model.config.id2label[number] for number in logits.argmax(-1).tolist()]
    scores = logits.softmax(-1).max(-1).values.tolist()
    auto = [{"label": label, "score": score} for label, score in zip(labels, scores, strict=True)]
    return {"auto": auto, "stock pipeline": stock, "textxfer": own}


def classify(id: str, texts: list[str]) -> Any:
    """Gives what textxfer makes of some texts by a model's id, or what it says instead."""
    import textxfer

    try:
        return textxfer.pipeline(id)(texts)
    except textxfer.CheckpointError as error:
        return str(error)


def load_rows(id: str, revisions: list[str | None]) -> list[Any]:
    """Loads revisions of a data set as a recipe does, and gives the training texts of each, or what it says instead."""
    from textxfer.errors import DataError
    from textxfer.sources.hub import Hub

    found: list[Any] = []
    for revision in revisions:
        try:
            found.append(Hub(id, revision=revision).load().train.rows["text"][:])
        except DataError as error:
            found.append(str(error))
    return found


def push_run(run: str, *pushes: list[Any]) -> list[list[Any]]:
    """Pushes a run by textxfer, without loading the model first.

    Args:
        run: Its folder.
        *pushes: The repository of each push, and its options, if it has any.

    Returns:
        For each its page's address and whether it made a commit, or what went wrong and None.
    """
    from textxfer.errors import PushError
    from textxfer.publishing.access import check_access
    from textxfer.publishing.hub import plan_push, upload

    outcomes: list[list[Any]] = []
    for repo, *options in pushes:
        try:
            plan = plan_push(Path(run), repo, **(options[0] if options else {}))
            pushed = upload(plan, check_access(plan.target))
            outcomes.append([pushed.url, pushed.new])
        except PushError as error:
            outcomes.append([str(error), None])
    return outcomes
