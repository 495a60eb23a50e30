"""Training by each system, to be called in a process of its own. Each gives `seconds` of training and `accuracy`."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

from common.data import Rows

LEARNING_RATE, BATCH_SIZE, MAX_LENGTH = 5e-5, 32, 256


def textxfer(
    checkpoint: str,
    train: Rows,
    test: Rows | None,
    *,
    frozen: int | str,
    epochs: int,
    seed: int,
    learning_rate: float = LEARNING_RATE,
    max_length: int = MAX_LENGTH,
    head: str = "native",
    start: str = "random",
    keep: str | None = None,
    cuda_graphs: str = "auto",
    precision: str = "auto",
) -> dict[str, Any]:
    """Trains with textxfer.

    Args:
        checkpoint: A folder or a Hub id.
        train: Its rows.
        test: Rows to judge the model by, or None.
        frozen: Layers, or "all".
        epochs: Passes over the rows.
        seed: Of the run.
        learning_rate: The highest.
        max_length: In tokens.
        head: Its name in a recipe.
        start: How the head starts; "random" where steps are what is compared.
        keep: A folder for the run, which goes otherwise.
        cuda_graphs: See `train.cuda_graphs`.
        precision: See `train.precision`.
    """
    from textxfer import run_recipe

    if start == "probe":
        import sklearn.linear_model  # noqa: F401  # the peers' clock, too, starts when they have imported it

    with tempfile.TemporaryDirectory() as folder:
        recipe = {
            "name": "run",
            "checkpoint": checkpoint,
            "dataset": {"validation_fraction": 0},
            "task": {"name": "topic", "max_length": max_length},
            "freeze": {"layers": frozen},
            "head": {"name": head, "start": start},
            "train": {
                "epochs": epochs,
                "batch_size": BATCH_SIZE,
                "learning_rate": learning_rate,
                "warmup_ratio": 0,
                "weight_decay": 0,
                "batching": "length",
                "precision": precision,
                "save_every": "never",
                "cuda_graphs": cuda_graphs,
                "seed": seed,
            },
            "output": {"directory": keep or folder},
        }
        splits = {"train": train, "test": test} if test else {"train": train}
        metrics = run_recipe(recipe, splits=splits, overwrite=True).metrics
    if metrics["num_examples"]["train"] != len(train):
        raise SystemExit(f"textxfer trained on {metrics['num_examples']['train']} of {len(train)} rows")
    return {
        "seconds": metrics["timing"]["train_seconds"],
        "prefix_seconds": metrics["timing"]["prefix_seconds"],
        "accuracy": metrics.get("test", {}).get("accuracy"),
        "trainable_parameters": metrics["trainable_parameters"],
    }


def trainer(
    checkpoint: str,
    train: Rows,
    test: Rows | None,
    *,
    frozen: int,
    epochs: int,
    seed: int,
    best: bool,
    bf16: bool,
) -> dict[str, Any]:
    """Trains with `transformers.Trainer`, as shipped or (`best`) as an expert would configure it."""
    import transformers

    labels = sorted({row["label"] for row in train})
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
    transformers.set_seed(seed)
    model = _new_model(checkpoint, len(labels))
    freeze(model, frozen)
    rows = _tokenised(tokenizer, train, labels)
    pad = transformers.DataCollatorWithPadding(tokenizer)
    options: dict[str, Any] = {}
    if best:
        # Trainer drops `length` before the sampler could read it, unless it is told to keep all columns.
        options = {
            "bf16": bf16,
            "train_sampling_strategy": "group_by_length",
            "length_column_name": "length",
            "remove_unused_columns": False,
            "optim": "adamw_torch_fused",
            "disable_tqdm": True,
        }
    else:
        rows = rows.remove_columns("length")
    with tempfile.TemporaryDirectory() as folder:
        arguments = transformers.TrainingArguments(
            output_dir=folder,
            num_train_epochs=epochs,
            per_device_train_batch_size=BATCH_SIZE,
            learning_rate=LEARNING_RATE,
            use_cpu=os.environ["ACCELERATE_USE_CPU"] == "1",
            save_strategy="no",
            report_to=[],
            seed=seed,
            **options,
        )
        runner = transformers.Trainer(
            model=model,
            args=arguments,
            train_dataset=rows,
            processing_class=tokenizer,
            data_collator=(lambda items: pad([_without_length(item) for item in items])) if best else pad,
        )
        seconds = runner.train().metrics["train_runtime"]
        runner.save_model(folder)
        trainable = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
        accuracy = _accuracy(_saved_model(folder), tokenizer, test, labels) if test else None
    return {"seconds": seconds, "accuracy": accuracy, "trainable_parameters": trainable}


def rounds(system: str, seeds: list[int], **settings: Any) -> dict[str, Any]:
    """Trains with `textxfer` or `trainer` once for each seed, in this one process."""
    import torch

    found = []
    for seed in seeds:
        torch.cuda.reset_peak_memory_stats()
        run = {"textxfer": textxfer, "trainer": trainer}[system](seed=seed, **settings)
        found.append(run | {"device_peak_mb": torch.cuda.max_memory_allocated() / 1e6})
    return {"runs": found}


def _without_length(item: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in item.items() if name != "length"}


def _new_model(checkpoint: str, labels: int) -> Any:
    import torch
    from transformers import AutoModelForSequenceClassification

    return AutoModelForSequenceClassification.from_pretrained(checkpoint, num_labels=labels, dtype=torch.float32)


def _saved_model(folder: str) -> Any:
    from transformers import AutoModelForSequenceClassification

    return AutoModelForSequenceClassification.from_pretrained(folder)


def freeze(model: Any, layers: int) -> None:
    """Freezes the lowest layers of a stock encoder, and its embeddings with the first of them."""
    import torch

    if layers == 0:
        return
    backbone = model.base_model
    depth = model.config.num_hidden_layers
    lists = (module for module in backbone.modules() if isinstance(module, torch.nn.ModuleList))
    stack = next(found for found in lists if len(found) == depth)
    embeddings = getattr(backbone, "embeddings", None) or backbone.get_input_embeddings()
    for module in (embeddings, *stack[:layers]):
        module.requires_grad_(False)


def _tokenised(tokenizer: Any, rows: Rows, labels: list[str]) -> Any:
    import datasets

    columns = dict(tokenizer([row["text"] for row in rows], truncation=True, max_length=MAX_LENGTH))
    columns["labels"] = [labels.index(row["label"]) for row in rows]
    return datasets.Dataset.from_dict(columns | {"length": [len(ids) for ids in columns["input_ids"]]})


def _accuracy(model: Any, tokenizer: Any, rows: Rows, labels: list[str]) -> float:
    """Gives the accuracy in fp32; not timed."""
    import torch

    model.eval()
    rows = sorted(rows, key=lambda row: len(row["text"]))
    right = 0
    for start in range(0, len(rows), 64):
        part = rows[start : start + 64]
        options = {"truncation": True, "max_length": MAX_LENGTH, "padding": True, "return_tensors": "pt"}
        with torch.inference_mode():
            found = model(**tokenizer([row["text"] for row in part], **options)).logits.argmax(-1).tolist()
        right += sum(labels[place] == row["label"] for place, row in zip(found, part, strict=True))
    return right / len(rows)


def logistic_regression(checkpoint: str, train: Rows, test: Rows | None) -> dict[str, Any]:
    """Encodes with sentence-transformers in fp32 and fits scikit-learn's LogisticRegression, as its users do."""
    from sentence_transformers import SentenceTransformer
    from sklearn.linear_model import LogisticRegression

    encoder = SentenceTransformer(checkpoint, device="cpu")
    began = time.perf_counter()
    vectors = encoder.encode([row["text"] for row in train], batch_size=BATCH_SIZE)
    classifier = LogisticRegression(max_iter=1000).fit(vectors, [row["label"] for row in train])
    seconds = time.perf_counter() - began
    accuracy = None
    if test:
        accuracy = classifier.score(encoder.encode([row["text"] for row in test]), [row["label"] for row in test])
    return {"seconds": seconds, "accuracy": accuracy}


def setfit_head(
    checkpoint: str, train: Rows, test: Rows | None, *, epochs: int, seed: int, longest: int
) -> dict[str, Any]:
    """Trains SetFit's differentiable head over its frozen body, at SetFit's own learning rate for heads.

    It pads every text to the maximum, so that is best set to the `longest` training text, in tokens.
    """
    from setfit import SetFitModel
    from transformers import set_seed

    labels = sorted({row["label"] for row in train})
    set_seed(seed)
    model = SetFitModel.from_pretrained(
        checkpoint, use_differentiable_head=True, head_params={"out_features": len(labels)}, device="cpu"
    )
    targets = [labels.index(row["label"]) for row in train]
    options = {"num_epochs": epochs, "batch_size": BATCH_SIZE, "head_learning_rate": 1e-2, "show_progress_bar": False}
    began = time.perf_counter()
    model.fit([row["text"] for row in train], targets, max_length=longest, **options)
    seconds = time.perf_counter() - began
    accuracy = None
    if test:
        found = model.predict([row["text"] for row in test], as_numpy=True).tolist()
        accuracy = sum(labels[place] == row["label"] for place, row in zip(found, test, strict=True)) / len(test)
    return {"seconds": seconds, "accuracy": accuracy}


def model_for_inference(checkpoint: str, train: Rows, *, epochs: int, keep: str) -> dict[str, Any]:
    """Trains a model to be asked, into the folder `keep`; gives where it is as `model`."""
    result = textxfer(checkpoint, train, None, frozen=0, epochs=epochs, seed=0, keep=keep)
    return result | {"model": str(Path(keep, "run", "model"))}
