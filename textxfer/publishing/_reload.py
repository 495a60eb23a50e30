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

NUMBERS = 64
"""Logits that are compared of a model that writes answers."""


def logits_of(model: Any, tokenizer: Any, rows: Sequence[Sequence[str]], max_length: int) -> list[list[float]]:
    """Gives the logits of each row, one after the other: a row is its text, or two texts that belong together.

    Args:
        model: Stock, or with a head of textxfer's; of answers it gives the logits of starts, then those of ends, of the
            first window. Of one that writes labels' words it gives how probable they are, of one that writes answers
            the first numbers of what it writes first.
        tokenizer: Its own.
        rows: The texts.
        max_length: In tokens; what is longer is cut.
    """
    import torch

    found, trains, noted = [], model.training, getattr(model.config, "textxfer", {})
    model.eval()
    with torch.inference_mode():
        for row in rows:
            if "prompts" in noted:
                found.append(_written(model, tokenizer, row, max_length, noted))
                continue
            inputs = tokenizer(*row, truncation=True, max_length=max_length, return_tensors="pt").to(model.device)
            output = model(**inputs)
            kinds = ("logits",) if "logits" in output else ("start_logits", "end_logits")
            found.append(torch.cat([output[kind][0].float().flatten() for kind in kinds]).tolist())
    model.train(trains)
    return found


def _written(model: Any, tokenizer: Any, row: Sequence[str], max_length: int, noted: Any) -> list[float]:
    import torch

    before, between = noted["prompts"]
    texts, words = [before + row[0], *row[1:]], noted.get("words")
    if words is None:  # a question and its context
        texts[0] += between
    elif len(texts) == 2:
        texts[1] = between + texts[1]
    ids, end = tokenizer(*texts, truncation=True, max_length=max_length)["input_ids"], model.config.eos_token_id
    inputs = torch.tensor([[number for number in ids if number != end] + [end]], device=model.device)
    if words is None:
        first = torch.tensor([[model.config.decoder_start_token_id]], device=model.device)
        logits = model(input_ids=inputs, decoder_input_ids=first).logits[0, 0]
        return [float(number) for number in logits[:NUMBERS]]
    scores = []
    for label in sorted(model.config.id2label):
        written = tokenizer(words[model.config.id2label[label]], add_special_tokens=False)["input_ids"]
        targets = torch.tensor([[*written, end]], device=model.device)
        shares = model(input_ids=inputs, labels=targets).logits.float().log_softmax(dim=2)
        scores.append(float(shares.gather(2, targets[:, :, None]).sum()) / noted["temperature"])
    return scores


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
