"""What a saved model says of some rows, as plain `transformers` gives it.

`verify` runs this file in a process of its own, where nothing of textxfer is imported: what others will see. Only a
model whose head is one of textxfer's is loaded by textxfer there.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def logits_of(model: Any, tokenizer: Any, rows: Sequence[Sequence[str]], max_length: int) -> list[list[float]]:
    """Gives the logits of each row, one after the other: a row is its text, or two texts that belong together.

    Args:
        model: Stock, or with a head of textxfer's; of answers it gives the logits of starts, then those of ends, of the
            first window.
        tokenizer: Its own.
        rows: The texts.
        max_length: In tokens; what is longer is cut.
    """
    import torch

    found, trains = [], model.training
    model.eval()
    with torch.inference_mode():
        for row in rows:
            inputs = tokenizer(*row, truncation=True, max_length=max_length, return_tensors="pt").to(model.device)
            output = model(**inputs)
            kinds = ("logits",) if "logits" in output else ("start_logits", "end_logits")
            found.append(torch.cat([output[kind][0].float().flatten() for kind in kinds]).tolist())
    model.train(trains)
    return found


def _answer(folder: str, rows: list[list[str]], max_length: int, plugins: list[str]) -> dict[str, Any]:
    import transformers

    stock = {"local_files_only": True, "trust_remote_code": False}
    config = transformers.AutoConfig.from_pretrained(folder, **stock)
    if (Path(folder) / "head.json").is_file():
        model = _headed(folder, config, plugins)
    else:
        kind = getattr(transformers, config.architectures[0])
        model = kind.from_pretrained(folder, dtype="float32", use_safetensors=True, **stock)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **stock)
    labels = [config.id2label[number] for number in sorted(config.id2label)]
    return {"labels": labels, "logits": logits_of(model, tokenizer, rows, max_length)}


def _headed(folder: str, config: Any, plugins: list[str]) -> Any:
    """Gives a model with a head of textxfer's, which a plugin may have brought."""
    from textxfer import registry
    from textxfer.labels import LabelSet
    from textxfer.modeling.build import build
    from textxfer.modeling.checkpoint import open_checkpoint

    for plugin in plugins:
        registry.load_plugin(Path(plugin))
    checkpoint = open_checkpoint(folder)
    labels = LabelSet(tuple(config.id2label[number] for number in sorted(config.id2label)))
    return build(checkpoint, "", labels, head=checkpoint.head).model


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    sys.stdout.write(json.dumps(_answer(**asked)) + "\n")
