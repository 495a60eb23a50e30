"""A model folder that plain `transformers` loads; the backbone alone, where the head is one of textxfer's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textxfer.disk import whole_folder
from textxfer.modeling.quiet import quiet_transformers

if TYPE_CHECKING:
    from torch import nn


def save_model(model: nn.Module, tokenizer: Any, folder: Path, settings: Mapping[str, Any]) -> None:
    """Writes config.json, model.safetensors and the tokenizer, and a head of textxfer's beside them, all or nothing.

    See `whole_folder`: a full disk leaves an earlier save as it was.

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
    """Fills a model's folder, so that it is whole or as it was.

    Raises:
        OutputError: It cannot be written.
    """
    with whole_folder(folder) as made:
        write(made)
        mode = made.stat().st_mode & 0o666
        for file in made.glob("*.safetensors"):  # written readable for the owner alone
            file.chmod(mode)
