"""A finished run to the Hugging Face Hub: in one commit, or in none where all is there already."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textxfer.errors import PushError
from textxfer.publishing.access import MAIN, Place, Target, check_access, check_card, explained
from textxfer.publishing.files import README, Upload, finished_run, is_ours, uploads
from textxfer.publishing.verify import verify

if TYPE_CHECKING:
    from huggingface_hub import HfApi

    from textxfer.recipe.hub_section import Hub


@dataclass(frozen=True)
class Pushed:
    """Where a model is now.

    Attributes:
        url: Its page.
        commit: That holds it.
        new: Whether this push made the commit; if not, all was there already.
    """

    url: str
    commit: str
    new: bool


@dataclass(frozen=True)
class Plan:
    """What a push will do.

    Attributes:
        run: The run's folder.
        target: Where to.
        files: In the order of their names.
    """

    run: Path
    target: Target
    files: tuple[Upload, ...]


def plan_push(
    run: Path,
    repo: str | None = None,
    *,
    private: bool | None = None,
    revision: str | None = None,
    tag: str | None = None,
) -> Plan:
    """Says what a push would do; looks at the run alone and asks nobody. See `push_run` for the arguments.

    Raises:
        PushError: The run has not finished, its model is not whole, or a name cannot be one.
    """
    run = finished_run(Path(run))
    hub = _hub_section(run)
    name = repo or hub.get("repo")
    if name is None:
        raise PushError(f"{run}: its recipe has no `hub.repo`; say where to: textxfer push {run} user/name")
    private = bool(hub.get("private")) if private is None else private
    target = Target(name, private, revision or hub.get("revision") or MAIN, tag)
    return Plan(run, target, tuple(uploads(run, name)))


def push_run(
    run: str | Path,
    repo: str | None = None,
    *,
    private: bool | None = None,
    revision: str | None = None,
    tag: str | None = None,
    progress: bool = False,
) -> Pushed:
    """Pushes the model of a finished run to the Hugging Face Hub, with its card, scores, report and recipe.

    Before anything is uploaded, the model is loaded in a process of its own (by plain transformers where it is a stock
    one) and must say what it said at the end of the run. All files go in one commit; a push of the same files again
    makes none, so a push that was interrupted can be repeated. The token is that of HF_TOKEN or the last `hf auth
    login`.

    Args:
        run: Its folder, `runs/NAME`; of several seeds the best one is pushed.
        repo: `user/name`; it is made where it is not there. Default: `hub.repo` of the run's recipe.
        private: Whether a new repository is private. Default: `hub.private`.
        revision: Branch; it is made where it is not there. Default: `hub.revision`, else `main`.
        tag: Gives the commit this name.
        progress: Whether the Hub's client draws its progress bars.

    Raises:
        PushError: The run, the model, a name or the rights are wrong, or the Hub or the line broke off.
    """
    plan = plan_push(Path(run), repo, private=private, revision=revision, tag=tag)
    place = check_access(plan.target)
    verify(plan.run)
    return upload(plan, place, progress=progress)


def upload(plan: Plan, place: Place, *, progress: bool = False) -> Pushed:
    """Carries a plan out; access and model have been checked.

    Raises:
        PushError: The Hub or the line broke off, or somebody else pushed at the same time.
    """
    import huggingface_hub

    target, api = plan.target, huggingface_hub.HfApi()
    with explained(target.repo), _quiet(progress):
        check_card(_card_of(plan))
        if not place.exists:
            api.create_repo(target.repo, private=target.private, exist_ok=True)
        if target.revision != MAIN:
            api.create_branch(target.repo, branch=target.revision, exist_ok=True)
        before = api.model_info(target.repo, revision=target.revision)
        names = {file.name for file in plan.files}
        # What an earlier push left and this one has no more would be loaded with it: shards, another head.
        stale = [file.rfilename for file in before.siblings or () if is_ours(file.rfilename)]
        operations: list[Any] = [_addition(file) for file in plan.files]
        operations += [huggingface_hub.CommitOperationDelete(name) for name in stale if name not in names]
        commit = api.create_commit(
            target.repo,
            operations,
            commit_message=_message(plan),
            revision=target.revision,
            parent_commit=before.sha,
        ).oid
        if target.tag is not None:
            _tag(api, target.repo, target.tag, commit)
        url = f"{api.endpoint}/{target.repo}"
    return Pushed(url if target.revision == MAIN else f"{url}/tree/{target.revision}", commit, commit != before.sha)


def check_push(hub: Hub) -> None:
    """Makes sure, before a run begins, that its model can be pushed when it has finished; changes nothing.

    Args:
        hub: The section of the recipe; nothing is asked where it names no repository.

    Raises:
        PushError: A name, the rights or the card's metadata are wrong, or the Hub cannot be reached.
    """
    import yaml

    if hub.repo is None:
        return
    check_access(Target(hub.repo, hub.private, hub.revision or MAIN))
    header = {"language": list(hub.language), "license": hub.license, "tags": list(hub.tags)}
    with explained(hub.repo):
        check_card(f"---\n{yaml.safe_dump({key: value for key, value in header.items() if value} or {})}---\n")


def push_finished(run: Path, hub: Hub) -> Pushed | None:
    """Pushes a run that has just finished, as its recipe says; None where it names no repository.

    Raises:
        PushError: As for `push_run`; with how to push it again.
    """
    if hub.repo is None:
        return None
    try:
        return push_run(run, hub.repo, private=hub.private, revision=hub.revision)
    except PushError as error:
        more = " --private" * hub.private + (f" --revision {hub.revision}" if hub.revision else "")
        again = f"{run}: the run has finished, and nothing of it is lost; textxfer push {run} {hub.repo}{more}"
        raise PushError(*error.lines, again) from error


def _hub_section(run: Path) -> dict[str, Any]:
    from textxfer.recipe.reading import read_text

    try:
        data = read_text((run / "recipe.yaml").read_text(encoding="utf-8"), str(run / "recipe.yaml")).data
    except OSError as error:
        raise PushError(f"{run / 'recipe.yaml'}: cannot be read: {error.strerror or error}") from error
    section = data.get("hub")
    return dict(section) if isinstance(section, dict) else {}


def _card_of(plan: Plan) -> str:
    card = next(file.content for file in plan.files if file.name == README)
    assert isinstance(card, bytes)
    return card.decode()


def _addition(file: Upload) -> Any:
    from huggingface_hub import CommitOperationAdd

    return CommitOperationAdd(file.name, file.content)


def _message(plan: Plan) -> str:
    import textxfer

    return f"Push the run {plan.run.resolve().name} with textxfer {textxfer.__version__}"


def _tag(api: HfApi, repo: str, tag: str, commit: str) -> None:
    """Names a commit; does nothing where it bears this name already."""
    there = {found.name: found.target_commit for found in api.list_repo_refs(repo).tags}
    if tag in there and there[tag] != commit:
        raise PushError(
            f"{repo}: the model is there now (commit {commit[:12]}), but the tag {tag} names another commit "
            f"({there[tag][:12]}) and stays; push again with another --tag"
        )
    if tag not in there:
        api.create_tag(repo, tag=tag, revision=commit)


@contextmanager
def _quiet(progress: bool) -> Iterator[None]:
    """Keeps the Hub's client from talking, and from drawing where that is not wanted."""
    from huggingface_hub import utils

    level, bars = utils.logging.get_verbosity(), utils.are_progress_bars_disabled()
    utils.logging.set_verbosity_error()
    if not progress:
        utils.disable_progress_bars()
    try:
        yield
    finally:
        utils.logging.set_verbosity(level)
        if not bars and not progress:
            utils.enable_progress_bars()
