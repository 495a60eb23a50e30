"""`export_onnx`: a trained model as a folder for ONNX Runtime, checked against torch before it is there."""

from __future__ import annotations

import copy
import importlib.util
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textxfer.data.batching import collate, padded, sorted_batches
from textxfer.data.tokenizer import PlainTokenizer
from textxfer.disk import check_place, whole_folder
from textxfer.errors import CheckpointError, MissingExtra, OutputError
from textxfer.modeling.checkpoint import WEIGHTS, Checkpoint, first_line, open_checkpoint
from textxfer.modeling.quiet import quiet_transformers
from textxfer.modeling.written import is_written
from textxfer.records import Predictions, Table
from textxfer.section import TEXT2TEXT
from textxfer.serving._checked_on import Checked, built_in, rows_to_check
from textxfer.serving._graph import ROUNDINGS, quantise_graph, write_graph
from textxfer.serving.engine import Engine, load_engine, open_engine
from textxfer.serving.onnx_backend import CONFIG, GRAPH, INSIDE, OnnxBackend, noted_tokenizer
from textxfer.serving.torch_backend import TorchBackend, saved_model

LARGEST_DIFFERENCE = 1e-4
"""Between a logit of torch and one of ONNX Runtime; and 1e-5 of the logit, which is what fp32 leaves of large ones."""
RELATIVE = 1e-5
LEAST_AGREEMENT = 0.99
ROWS_FOR_LOGITS = 256
BATCH_TOKENS = 1024
PACKAGES = ("onnx", "onnxruntime", "onnxscript")


@dataclass(frozen=True)
class ExportResult:
    """An exported model and how it was checked.

    Attributes:
        folder: Where it is.
        checked_on: What it was checked on: "872 validation rows of runs/a".
        difference: The largest between a logit of torch and one of the fp32 graph.
        agreement: Share of the rows for which the exported model predicts the same as torch in fp32.
        size: Of the graph in bytes.
        notes: What the user should know, a sentence each.
    """

    folder: Path
    checked_on: str
    difference: float
    agreement: float
    size: int
    notes: tuple[str, ...]


def export_onnx(
    model: str | os.PathLike[str],
    folder: str | os.PathLike[str] | None = None,
    *,
    int8: bool = False,
    data: str | os.PathLike[str] | None = None,
    columns: Mapping[str, str] | None = None,
    overwrite: bool = False,
) -> ExportResult:
    """Writes a model for ONNX Runtime: `textxfer.pipeline(folder, backend="onnx")`.

    The graph's logits are compared with torch's on real rows, 1e-4 apart at most, or nothing is written. The rows are
    those of `data`, else the validation (test, training) rows of the run that the model is of, else built-in texts.

    Args:
        model: A run, a model's folder or a Hub id, as for `textxfer.pipeline`.
        folder: Where to. Default: `onnx` in the model's folder (`onnx-int8` for 8 bits).
        int8: Weights as 8-bit integers: smaller, often faster, not quite the same predictions. Embeddings and narrowing
            products stay fp32 where 99 % of the rows would not be predicted as in torch otherwise.
        data: A file, or a folder with a file for each split, to check on.
        columns: Its names of the task's columns, where they differ: {"text": "review"}.
        overwrite: Replace an exported model that is there.

    Returns:
        What was written; `notes` has a warning where 8 bits agree on less than 99 % of the rows.

    Raises:
        CheckpointError: The model is not there, has no head, or cannot be exported faithfully.
        DataError: `data` cannot be used.
        MissingExtra: A package is not installed.
        OutputError: The folder is there already, or cannot be written.
    """
    check_packages()
    name = os.fspath(model)
    place = _place(name, folder, int8, overwrite)
    checkpoint = open_checkpoint(name)
    source = load_engine(checkpoint, device="cpu")
    if is_written(checkpoint) and source.labels is None:
        raise CheckpointError(
            f"{name}: it writes its answers ({TEXT2TEXT}) token by token, and cannot be exported; train with the "
            "native head for ONNX Runtime"
        )
    checked = rows_to_check(name, source, Path(data) if data is not None else None, columns)
    with whole_folder(place) as made:
        _write(source, checkpoint, made)
        difference = _largest_difference(source, _open(made), checked, name)
        expected = source.predict(checked.rows)
        if int8:
            found, note = round_weights(made, expected, checked)
        else:
            found, note = agreement(expected, _open(made).predict(checked.rows)), None
        size = sum(path.stat().st_size for path in made.glob(f"{GRAPH}*"))
    notes = (*checked.notes, *([note] if note is not None else []))
    return ExportResult(place, f"{len(checked.rows)} {checked.what}", difference, found, size, notes)


def round_weights(folder: Path, expected: Predictions, checked: Checked) -> tuple[float, str | None]:
    """Turns as many weights of an exported model into 8-bit integers as 99 % of the predictions bear, in place.

    Args:
        folder: Of the model in fp32.
        expected: Of torch in fp32, for the rows.
        checked: The rows.

    Returns:
        The share of rows that are predicted the same, and what the user should know.
    """
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        for path in folder.glob(f"{GRAPH}*"):
            path.rename(Path(temporary) / path.name)
        source, tried = Path(temporary) / GRAPH, []
        for rounding in ROUNDINGS:
            quantise_graph(source, folder / GRAPH, rounding)
            tried.append(agreement(expected, _open(folder).predict(checked.rows)))
            if tried[-1] >= LEAST_AGREEMENT:
                break
        best = max(range(len(tried)), key=lambda place: tried[place])
        if best != len(tried) - 1:
            quantise_graph(source, folder / GRAPH, ROUNDINGS[best])
    rows, found, kept = f"{len(checked.rows)} {checked.what}", tried[best], ROUNDINGS[best].what
    if found < LEAST_AGREEMENT:
        return found, (
            f"warning: with 8-bit weights {found:.1%} of {rows} are predicted as in torch, less than "
            f"{LEAST_AGREEMENT:.0%}; export without --int8 where that is not good enough"
        )
    if kept:
        return found, f"{kept} stay fp32, or only {tried[0]:.1%} of {rows} would be predicted as in torch"
    return found, None


def check_packages() -> None:
    """Checks that all is there that exporting needs.

    Raises:
        MissingExtra: It is not.
    """
    missing = [package for package in PACKAGES if importlib.util.find_spec(package) is None]
    if missing:
        raise MissingExtra(f"exporting needs {', '.join(missing)}: pip install 'textxfer[onnx]'")


def agreement(one: Predictions, other: Predictions) -> float:
    """Gives the share of rows for which two models predict the same: the label, the set of labels, or the answer."""
    import numpy as np

    same = [np.array_equal(first, second) for first, second in zip(one.predicted, other.predicted, strict=True)]
    return sum(same) / len(same)


def _place(model: str, folder: str | os.PathLike[str] | None, int8: bool, overwrite: bool) -> Path:
    """Says where the exported model goes, and checks that it may."""
    inside = f"{INSIDE}-int8" if int8 else INSIDE
    if folder is None and not Path(model).expanduser().is_dir():
        raise OutputError(f"{model}: is no folder that the exported model could go into; name one by -o")
    place = Path(folder) if folder is not None else Path(model).expanduser() / inside
    if place.exists() and not (place.is_dir() and not any(place.iterdir())):
        weights = any((place / file).exists() for file in WEIGHTS)
        if not place.is_dir() or not (place / GRAPH).is_file() or weights:
            raise OutputError(
                f"{place}: is there, but is no exported model; nothing of it is touched: name another by -o"
            )
        if not overwrite:
            raise OutputError(f"{place}: holds an exported model; --overwrite replaces it, or name another by -o")
    check_place(place)
    return place


def _open(folder: Path) -> Engine:
    return open_engine(str(folder), backend="onnx")


def _write(source: Engine, checkpoint: Checkpoint, folder: Path) -> None:
    """Writes the graph, the tokenizer and how to use them.

    Raises:
        CheckpointError: The exporter does not know such a model.
    """
    import numpy as np

    task, tokenizer = source.task, checkpoint.tokenizer
    # The stock modules: what runs in torch may have been made over for this machine.
    model: Any = saved_model(checkpoint, task, source.labels).model.eval()
    encoded = task.encode(Table.of(built_in(source).rows[:3]), tokenizer, None)
    batch = collate(encoded, np.arange(min(len(encoded), 3)), pad_token_id=tokenizer.pad_token_id)
    try:
        write_graph(model, batch.inputs(), task.outputs, folder / GRAPH)
    except OSError:
        raise
    except Exception as error:  # the exporter has an error for each way in which a model surprises it
        kind = type(model).__name__
        raise CheckpointError(f"{checkpoint.id}: a {kind} cannot be exported: {first_line(error)}") from error
    tokenizer.backend_tokenizer.no_padding()
    tokenizer.backend_tokenizer.no_truncation()
    config = copy.deepcopy(model.config)
    noted = noted_tokenizer(PlainTokenizer.of(tokenizer))
    config.textxfer = source.task.settings() | checkpoint.settings | {"tokenizer": noted}
    with quiet_transformers():
        tokenizer.save_pretrained(folder)
        config.to_json_file(folder / CONFIG, use_diff=False)  # the labels too where they bear their usual names


def _largest_difference(source: Engine, exported: Engine, checked: Checked, name: str) -> float:
    """Gives the largest difference between the logits of two backends, over real rows and built-in ones.

    Raises:
        CheckpointError: It is too large.
    """
    import numpy as np
    import torch

    assert isinstance(source.backend, TorchBackend)
    assert isinstance(exported.backend, OnnxBackend)
    step = -(-len(checked.rows) // ROWS_FOR_LOGITS)
    largest = 0.0
    for rows in (checked.rows[::step], built_in(source).rows):
        encoded = source.task.encode(Table.of(rows), source.tokenizer, None)
        for indices in sorted_batches(encoded.lengths, BATCH_TOKENS):
            batch = collate(encoded, indices, pad_token_id=source.backend.pad_token_id)
            with torch.inference_mode():
                output = source.backend.model(**batch.inputs())
            plain = padded(encoded, indices, pad_token_id=source.backend.pad_token_id)
            for key, found in exported.backend.outputs(source.task, plain).items():
                expected = getattr(output, key).numpy()
                apart = np.abs(found - expected)
                largest = max(largest, float(apart.max()))
                if not (apart <= LARGEST_DIFFERENCE + RELATIVE * np.abs(expected)).all():
                    raise CheckpointError(
                        f"{name}: the exported model is not the same: its {key} differ from torch's by up to "
                        f"{float(apart.max()):.2g} (more than {LARGEST_DIFFERENCE:g}); nothing was written"
                    )
    return largest
