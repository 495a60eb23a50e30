"""Whether a model may go to a place on the Hub, and what goes wrong on the way there in plain words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from textxfer.errors import PushError, TextxferError
from textxfer.recipe.hub_names import reference_name, repo_name
from textxfer.sources.hub import trouble

if TYPE_CHECKING:
    from huggingface_hub import HfApi

MAIN = "main"
OTHER_KINDS = {"dataset": "a data set", "space": "a space"}


@dataclass(frozen=True)
class Target:
    """Where a model is to go.

    Attributes:
        repo: `user/name`.
        private: Whether it is private if it has to be made.
        revision: Branch.
        tag: Name for the commit, or None.

    Raises:
        PushError: A name cannot be one.
    """

    repo: str
    private: bool = False
    revision: str = MAIN
    tag: str | None = None

    def __post_init__(self) -> None:
        checks: list[tuple[Callable[[str], str], str | None]] = [(repo_name, self.repo)]
        checks += [(reference_name, self.revision), (reference_name, self.tag)]
        wrong = [_complaint(check, name) for check, name in checks if name is not None]
        if any(wrong):
            raise PushError(*filter(None, wrong))


def _complaint(check: Callable[[str], str], name: str) -> str | None:
    try:
        check(name)
    except ValueError as error:
        return str(error)
    return None


@dataclass(frozen=True)
class Place:
    """What is at a target now.

    Attributes:
        exists: Whether the repository is there.
        private: Whether it is private, or will be.
    """

    exists: bool
    private: bool


def check_access(target: Target) -> Place:
    """Asks the Hub whether a push can succeed, and changes nothing there.

    Raises:
        PushError: The token or its rights are missing, the repository is of another kind or public where it should be
            private, the tag is taken, or the Hub cannot be reached.
    """
    import huggingface_hub
    from huggingface_hub.errors import RepositoryNotFoundError

    api = huggingface_hub.HfApi()
    if huggingface_hub.get_token() is None:
        raise PushError(
            f"{target.repo}: a push needs a token: set HF_TOKEN, or log in by `hf auth login` (with write access)"
        )
    with explained(target.repo):
        account = api.whoami()
        try:
            info = api.model_info(target.repo)
        except RepositoryNotFoundError:
            _check_new(api, account, target)
            return Place(False, target.private)
        api.auth_check(target.repo, write=True)
        if target.private and not info.private:
            raise PushError(
                f"{target.repo}: is public, and the model is to be private; choose another name, or make the "
                "repository private in its settings"
            )
        _check_references(api, target)
        return Place(True, bool(info.private))


def check_card(card: str) -> None:
    """Lets the Hub look at a card's metadata: license, language, tags.

    Raises:
        PushError: It refuses them.
    """
    import huggingface_hub
    import yaml

    try:
        huggingface_hub.RepoCard(card, ignore_metadata_errors=False).validate(repo_type="model")
    except (ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise PushError(f"the Hub refuses the model card's metadata (hub.license, hub.language): {reason}") from error


def _check_new(api: HfApi, account: dict[str, Any], target: Target) -> None:
    """Stops where a repository cannot be made, or is of another kind."""
    for kind, words in OTHER_KINDS.items():
        if api.repo_exists(target.repo, repo_type=kind):
            raise PushError(f"{target.repo}: is {words} on the Hub; choose another name for the model")
    namespace = target.repo.split("/")[0]
    groups = {group["name"] for group in account.get("orgs") or () if group.get("roleInOrg") != "read"}
    owner = account.get("name")
    if namespace != owner and namespace not in groups:
        own = ", ".join(f"{name}/..." for name in (owner, *sorted(groups)))
        raise PushError(f"{target.repo}: is not there, and {owner} may not make it; choose one of: {own}")
    role = ((account.get("auth") or {}).get("accessToken") or {}).get("role")
    if role == "read":
        raise PushError(f"{target.repo}: the token may only read; take one with write access (`hf auth login`)")


def _check_references(api: HfApi, target: Target) -> None:
    """Stops where a name is taken: the branch by a tag, the tag by another commit than the branch's last."""
    if target.tag is None and target.revision == MAIN:
        return
    refs = api.list_repo_refs(target.repo)
    tags = {tag.name: tag.target_commit for tag in refs.tags}
    branches = {branch.name: branch.target_commit for branch in refs.branches}
    if target.revision in tags:
        raise PushError(f"{target.repo}: {target.revision} is a tag, and a push goes to a branch; leave --revision out")
    if target.tag in branches:
        raise PushError(f"{target.repo}: {target.tag} is a branch; choose another --tag")
    if target.tag in tags and tags[target.tag] != branches.get(target.revision):
        raise PushError(
            f"{target.repo}: the tag {target.tag} is there already, for another commit ({tags[target.tag][:12]}); "
            "choose another --tag"
        )


@contextmanager
def explained(repo: str) -> Iterator[None]:
    """Turns what the Hub, its client and the line raise into a `PushError` that says what to do.

    Raises:
        PushError: Something went wrong within.
    """
    try:
        yield
    except TextxferError:
        raise
    except Exception as error:
        raise PushError(f"{repo}: {_without_token(_reason(error))}") from error


def _reason(error: Exception) -> str:
    from huggingface_hub.errors import HfHubHTTPError

    if isinstance(error, HfHubHTTPError):
        said = (error.server_message or "").strip()
        return _of_status(error.response.status_code, " ".join(said.split()))
    if trouble(error) is not None:
        return (
            f"the Hub cannot be reached, or the line broke off ({_first_line(error)}). Nothing is there by half: push "
            "again later"
        )
    return f"cannot be pushed: {_first_line(error)}"


def _of_status(status: int, said: str) -> str:
    told = f" ({status}: {said})" if said else f" ({status})"
    sentences = {
        401: "the Hub does not know the token in HF_TOKEN (or of the last login); `hf auth login`",
        403: f"the token has no right to write there{told}; take one with write access, or another name",
        404: f"is not there, or not for this token{told}",
        409: f"the Hub says that this clashes with what is there{told}; look at its page, then push again",
        412: f"somebody else has pushed to it at the same time{told}; look at its page, then push again",
        429: f"the Hub asks for patience{told}; push again later",
    }
    if status >= 500:
        return f"the Hub has trouble{told}. Nothing is there by half: push again later"
    return sentences.get(status, f"the Hub refuses the push{told}")


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _without_token(text: str) -> str:
    """Hides the token, should anybody have put it into a message."""
    import huggingface_hub

    token = huggingface_hub.get_token()
    return text.replace(token, "[token]") if token else text
