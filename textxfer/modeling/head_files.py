"""A head of textxfer's on disk: head.json says which it is, head.safetensors holds its weights. No pickle, no code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from textxfer.errors import CheckpointError, RecipeError
from textxfer.heads import HeadChoice, is_stock

HEAD_CONFIG = "head.json"
HEAD_WEIGHTS = "head.safetensors"
FORMAT = 1
"""Of head.json."""


def write_head(head: Any, choice: HeadChoice, folder: Path, hidden_size: int, num_labels: int) -> None:
    """Writes both files.

    Args:
        head: Its weights are saved.
        choice: What it was made by.
        folder: Of the model.
        hidden_size: Of the backbone's states.
        num_labels: How many logits it gives.
    """
    from safetensors.torch import save_file

    import textxfer

    about = {
        "format": FORMAT,
        "head": choice.name,
        "options": dict(choice.options),
        "hidden_size": hidden_size,
        "num_labels": num_labels,
        "textxfer": textxfer.__version__,
    }
    (Path(folder) / HEAD_CONFIG).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    tensors = {name: value.detach().cpu().contiguous() for name, value in head.state_dict().items()}
    save_file(tensors, Path(folder) / HEAD_WEIGHTS, metadata={"format": "pt"})


def open_head(name: str, location: str, revision: str | None, config: Any) -> HeadChoice | None:
    """Gives the head that a saved model has; None where it has a stock one.

    Args:
        name: The checkpoint, as the user named it.
        location: A folder, or a Hub id.
        revision: The commit on the Hub; None for a folder.
        config: The model's; `textxfer` in it names the head.

    Raises:
        CheckpointError: head.json is missing, damaged, of a newer version, or of another model.
    """
    settings = getattr(config, "textxfer", None)
    named = settings.get("head") if isinstance(settings, Mapping) else None
    if named is None or is_stock(str(named)):
        return None
    path = _find(name, location, revision, HEAD_CONFIG)
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        version = about["format"]
        if isinstance(version, int) and version > FORMAT:
            raise CheckpointError(
                f"{name}: its {HEAD_CONFIG} is of format {version}, which a newer textxfer wrote, and this one knows "
                f"{FORMAT}: pip install --upgrade textxfer"
            )
        choice = HeadChoice(str(about["head"]), dict(about["options"]))
        sizes = {key: int(about[key]) for key in ("hidden_size", "num_labels")}
        if version != FORMAT:
            raise ValueError(f"there is no format {version!r}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        what = f"lacks {error}" if isinstance(error, KeyError) else f"cannot be used: {error}"
        raise CheckpointError(f"{name}: its {HEAD_CONFIG} {what}; {_COPY}") from error
    for key, size in sizes.items():
        if size != getattr(config, key):
            raise CheckpointError(
                f"{name}: its {HEAD_CONFIG} is of another model ({key} {size}, and config.json says "
                f"{getattr(config, key)}); {_COPY}"
            )
    return choice


def load_head(
    choice: HeadChoice, name: str, location: str, revision: str | None, hidden_size: int, num_labels: int
) -> Any:
    """Gives a saved head with its weights, fp32, on the CPU.

    Args:
        choice: What to make it by.
        name: The checkpoint, as the user named it.
        location: A folder, or a Hub id.
        revision: The commit on the Hub; None for a folder.
        hidden_size: Of the backbone's states.
        num_labels: How many logits it gives.

    Raises:
        CheckpointError: There is no such head here, or its weights are missing, damaged or of another head.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = _find(name, location, revision, HEAD_WEIGHTS)
    try:
        head = choice.make(hidden_size, num_labels)
    except RecipeError as error:
        hint = "one of a plugin is there once the plugin's module is imported, or installed as an entry point"
        raise CheckpointError(f"{name}: its head cannot be made here: {error} ({hint})") from error
    try:
        head.load_state_dict(load_file(path))
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{name}: its {HEAD_WEIGHTS} is damaged ({error}); {_COPY}") from error
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(
            f"{name}: its {HEAD_WEIGHTS} is not what {HEAD_CONFIG} says: {reason}; {_COPY}"
        ) from error
    return head.to(torch.float32)


_COPY = "copy the whole model folder again, or run its recipe again"


def _find(name: str, location: str, revision: str | None, file: str) -> Path:
    """Gives the path of one of the files; one on the Hub is fetched.

    Raises:
        CheckpointError: There is none, or the Hub cannot be reached.
    """
    missing = f"{name}: has no {file}, though its config.json says that its head is one of textxfer's; {_COPY}"
    if revision is None:
        path = Path(location) / file
        if not path.is_file():
            raise CheckpointError(missing)
        return path
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError, RemoteEntryNotFoundError

    try:
        return Path(huggingface_hub.hf_hub_download(location, file, revision=revision))
    except RemoteEntryNotFoundError as error:
        raise CheckpointError(missing) from error
    except Exception as error:  # of the Hub, of the disk, of the network library
        cause = (error.__cause__ if isinstance(error, LocalEntryNotFoundError) else None) or error
        reason = " ".join(str(cause).split())
        raise CheckpointError(
            f"{name}: its {file} cannot be fetched from the Hub: {reason}; try again later"
        ) from error
