"""A model folder that plain `transformers` loads."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textxfer.errors import OutputError
from textxfer.modeling.quiet import quiet_transformers

if TYPE_CHECKING:
    from torch import nn


def save_model(model: nn.Module, tokenizer: Any, folder: Path, settings: Mapping[str, Any]) -> None:
    """Writes config.json, model.safetensors and the tokenizer, all or nothing.

    The folder is written beside its place and then renamed, so that a full disk leaves an earlier save as it was.

    Args:
        model: A stock model.
        tokenizer: Its tokenizer.
        folder: Where to.
        settings: What textxfer must know to use the model; `textxfer` in config.json, which stock loaders keep.

    Raises:
        OutputError: It cannot be written.
    """
    config: Any = model.config
    config.textxfer = dict(settings)
    tokenizer.model_max_length = settings["max_length"]
    tokenizer.backend_tokenizer.no_padding()
    tokenizer.backend_tokenizer.no_truncation()
    temporary = folder.with_name(f"{folder.name}.tmp-{os.getpid()}")
    try:
        temporary.mkdir(parents=True)
        with quiet_transformers():
            model.save_pretrained(temporary)  # type: ignore[operator]
            tokenizer.save_pretrained(temporary)
        for file in temporary.glob("*.safetensors"):  # written readable for the owner alone
            file.chmod((temporary / "config.json").stat().st_mode)
        replace_folder(temporary, folder)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise OutputError(f"{folder}: the model cannot be saved: {error.strerror or error}") from error
    except Exception as error:  # safetensors raises its own error when the disk is full
        shutil.rmtree(temporary, ignore_errors=True)
        if "SafetensorError" not in type(error).__name__:
            raise
        raise OutputError(f"{folder}: the model cannot be saved: {error}") from error


def replace_folder(new: Path, place: Path) -> None:
    """Renames a folder to its place; what stood there is deleted afterwards."""
    if not place.exists():
        new.rename(place)
        return
    old = place.with_name(f"{place.name}.old-{os.getpid()}")
    place.rename(old)
    new.rename(place)
    shutil.rmtree(old)
