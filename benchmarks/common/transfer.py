"""Checkpoints that differ, their ranking, and what training makes of them; each called in a process of its own."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from common.data import Rows

MAX_LENGTH = 128


def make_checkpoints(checkpoint: str, folder: str, lower: list[int]) -> dict[str, Any]:
    """Saves checkpoints that differ from one: its lower layers alone, and a twin with random weights.

    Gives the folder of each as `checkpoints`, the given one first.
    """
    import torch
    import transformers

    from textxfer.modeling.anatomy import locate

    source = transformers.AutoModel.from_pretrained(checkpoint, dtype=torch.float32)
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
    found = {"whole": checkpoint}
    torch.manual_seed(0)
    twins = {"random twin": transformers.AutoModel.from_config(source.config)}
    for count in lower:
        model = transformers.AutoModel.from_pretrained(checkpoint, dtype=torch.float32)
        layers = locate(model).layers
        stack = next(m for m in model.modules() if isinstance(m, torch.nn.ModuleList) and list(m) == layers)
        del stack[count:]
        model.config.num_hidden_layers = count
        twins[f"lower {count} layers"] = model
    for name, model in twins.items():
        place = Path(folder, name.replace(" ", "-"))
        model.save_pretrained(place)
        tokenizer.save_pretrained(place)
        found[name] = str(place)
    return {"checkpoints": found}


def fine_tune(checkpoint: str, train: Rows, test: Rows, *, layers: int | str, epochs: int, seed: int) -> dict[str, Any]:
    """Trains the default recipe with some layers frozen.

    Gives `accuracy` on test and on `validation`, `seconds` of training, `choosing_seconds`, and the frozen `layers`.
    """
    import json
    import time

    from textxfer import run_recipe

    with tempfile.TemporaryDirectory() as folder:
        recipe = {
            "name": "run",
            "checkpoint": checkpoint,
            "task": {"name": "topic", "max_length": MAX_LENGTH},
            "freeze": {"layers": layers},
            "head": {"start": "random"},  # steps are what is compared
            "train": {"epochs": epochs, "seed": seed, "save_every": "never"},
            "output": {"directory": folder},
        }
        began = time.perf_counter()
        result = run_recipe(recipe, splits={"train": train, "test": test})
        whole = time.perf_counter() - began
        choices = result.folder / "choices.json"
        depth = json.loads(choices.read_text())["depth"] if choices.exists() else None
    metrics = result.metrics
    return {
        "accuracy": metrics["test"]["accuracy"],
        "macro_f1": metrics["test"]["macro_f1"],
        "validation": metrics["validation"]["accuracy"],
        "seconds": metrics["timing"]["train_seconds"],
        "choosing_seconds": depth["seconds"] if depth else 0.0,
        "run_seconds": whole,
        "layers": depth["layers"] if depth else layers,
        "depth": depth,
    }


def rank(checkpoints: dict[str, str], train: Rows, pooling: str) -> dict[str, Any]:
    """Ranks checkpoints as `textxfer rank` does; gives the scores of each by its name as `scores`, in their order."""
    import time

    from textxfer.recipe.loading import load_recipe
    from textxfer.training.precision import make_accelerator
    from textxfer.training.ranking import rank_checkpoints
    from textxfer.training.rows import load_rows

    recipe = load_recipe(
        {
            "name": "run",
            "checkpoint": {"auto": list(checkpoints.values())},
            "task": {"name": "topic", "max_length": MAX_LENGTH},
        },
        rows_given=True,
    )
    began = time.perf_counter()
    rows = load_rows(recipe, {"train": train})
    names = list(recipe.checkpoint.auto or ())
    ranking = rank_checkpoints(recipe, rows, names, make_accelerator(), pooling=pooling)
    if ranking.failed:
        raise SystemExit(f"not ranked: {ranking.failed}")
    names_of = dict(zip(names, checkpoints, strict=True))
    scores = {names_of[each["checkpoint"]]: each for each in ranking.to_dict()["ranked"]}
    return {"scores": scores, "tied": ranking.tied, "rows": ranking.rows, "seconds": time.perf_counter() - began}
