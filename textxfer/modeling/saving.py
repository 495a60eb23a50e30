"""A model folder that plain `transformers` loads; the backbone alone, where the head is one of textxfer's."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textxfer.disk import replace_folder
from textxfer.errors import OutputError
from textxfer.modeling.quiet import quiet_transformers

if TYPE_CHECKING:
    from torch import nn


def save_model(model: nn.Module, tokenizer: Any, folder: Path, settings: Mapping[str, Any]) -> None:
    """Writes config.json, model.safetensors and the tokenizer, and a head of textxfer's beside them, all or nothing.

    The folder is written beside its place and then renamed, so that a full disk leaves an earlier save as it was. What
    a save that was cut off has left beside it goes with the next.

    Args:
        model: A stock model, or a `Headed`.
        tokenizer: Its tokenizer.
        folder: Where to.
        settings: What textxfer must know to use the model; `textxfer` in config.json, which stock loaders keep.

    Raises:
        OutputError: It cannot be written.
    """
    config: Any = model.config
    choice = getattr(model, "choice", None)
    config.textxfer = dict(settings) | ({} if choice is None else {"head": choice.name})
    tokenizer.model_max_length = settings["max_length"]
    tokenizer.backend_tokenizer.no_padding()
    tokenizer.backend_tokenizer.no_truncation()

    def write(temporary: Path) -> None:
        with quiet_transformers():
            model.save_pretrained(temporary)  # type: ignore[operator]
            tokenizer.save_pretrained(temporary)

    write_folder(folder, write)


def write_folder(folder: Path, write: Callable[[Path], None]) -> None:
    """Fills a folder beside its place and renames it, so that it is whole or as it was.

    Raises:
        OutputError: It cannot be written.
    """
    from safetensors import SafetensorError

    temporary = folder.with_name(f".{folder.name}.new")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        write(temporary)
        mode = temporary.stat().st_mode & 0o666
        for file in temporary.glob("*.safetensors"):  # written readable for the owner alone
            file.chmod(mode)
        replace_folder(temporary, folder)
    except (OSError, SafetensorError) as error:  # safetensors has its own way to say that the disk is full
        shutil.rmtree(temporary, ignore_errors=True)
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"{folder}: the model cannot be saved: {reason}") from error
