"""What sentiment and topic share: texts or pairs in, one label or a set of labels out."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from textxfer.data.checks import label_set
from textxfer.data.encode import encode_texts, joined
from textxfer.errors import DataError
from textxfer.labels import LabelSet, is_number
from textxfer.records import Batch, Encoded, Predictions, Splits, Table
from textxfer.tasks._arrays import as_numpy

if TYPE_CHECKING:
    import datasets
    import numpy as np
    import torch


class Classification:
    """Labels for texts; keeps the promises of `Task`.

    Args:
        labels: Names and order of the labels. Default: found in the data.
        multi_label: Whether a text may have any number of labels.
        ordered: Whether the labels have an order, as stars have.
        max_length: In tokens; longer texts are cut.
        thresholds: Least probability of each label that counts as a yes, in the order of label ids; for label sets.
            Default: 0.5 each.
    """

    name: ClassVar[str]
    auto_class: ClassVar[str] = "AutoModelForSequenceClassification"
    pipeline_tag: ClassVar[str] = "text-classification"
    required_columns: ClassVar[tuple[str, ...]] = ("text", "label")
    outputs: ClassVar[tuple[str, ...]] = ("logits",)
    select_by = "macro_f1"

    def __init__(
        self,
        labels: Sequence[str] | None = None,
        multi_label: bool = False,
        ordered: bool = False,
        max_length: int = 256,
        thresholds: Sequence[float] | None = None,
    ) -> None:
        if thresholds is not None and not multi_label:
            raise ValueError("thresholds are for label sets")
        self.label_names = tuple(labels) if labels else None
        self.multi_label = multi_label
        self.ordered = ordered
        self.max_length = max_length
        self.thresholds = tuple(map(float, thresholds)) if thresholds is not None else None
        self.prompts: tuple[str, str] | None = None
        self.predicts = "label sets" if multi_label else "labels"
        self.default_metrics = ("accuracy", "macro_f1", *(("mean_distance", "within_one") if ordered else ()))

    def to_be_written(self, prompt: str | None = None, prompt_pair: str | None = None) -> Classification:
        """Gives the same task for a model that writes; see `Task.to_be_written`."""
        written = copy.copy(self)
        written.prompts = (f"{self.name}: " if prompt is None else prompt, prompt_pair or "")
        return written

    def prepare(self, splits: Splits) -> tuple[Splits, LabelSet | None]:
        """Checks every row's label and gives the label set; see `Task.prepare`."""
        labels = label_set(splits, self.label_names, several=self.multi_label)
        told = self.label_names or splits.train.label_names or all(map(is_number, labels.names))
        if self.ordered and not told:
            shown = ", ".join(labels.names)
            raise DataError(
                f"task.ordered: the order of {shown} cannot be told from their names; say it in `task.labels`"
            )
        return splits, labels

    def cut_by(self, rows: datasets.Dataset) -> tuple[Sequence[Any] | None, Sequence[Any] | None]:
        """Gives each row's label, or labels, as its stratum."""
        labels = rows["label"][:]
        return [tuple(sorted(label)) for label in labels] if self.multi_label else labels, None

    def encode(self, rows: datasets.Dataset | Table, tokenizer: Any, labels: LabelSet | None) -> Encoded:
        """Tokenises texts and, where rows have labels, gives their ids; see `Task.encode`."""
        texts, pairs = rows["text"][:], rows["text_pair"][:] if "text_pair" in rows.column_names else None
        if self.prompts is not None:
            texts = [self.prompts[0] + text for text in texts]
            pairs = [self.prompts[1] + text for text in pairs] if pairs is not None else None
        encoded = encode_texts(tokenizer, texts, pairs, max_length=self.max_length)
        if self.prompts is not None:
            encoded = joined(tokenizer, encoded)
        if labels is None or "label" not in rows.column_names:
            return encoded
        return replace(encoded, targets=self._targets(rows["label"][:], labels))

    def _targets(self, values: Sequence[Any], labels: LabelSet) -> np.ndarray:
        import numpy as np

        if not self.multi_label:
            return np.array([labels.label2id[value] for value in values], dtype=np.int64)
        targets = np.zeros((len(values), len(labels)), dtype=np.float32)
        for row, names in enumerate(values):
            targets[row, [labels.label2id[name] for name in names]] = 1
        return targets

    def loss(
        self,
        output: Any,
        batch: Batch,
        *,
        label_smoothing: float = 0.0,
        class_weights: torch.Tensor | None = None,
        weights: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Gives the cross-entropy summed over examples; for label sets that of each label's yes or no, their mean.

        A class weight multiplies the loss of examples with its label, of label sets the term of a label that is there;
        a weight (B,) that of its example. Label smoothing mixes targets with the uniform one.
        """
        from torch.nn import functional

        assert batch.targets is not None
        logits, targets = output.logits.float(), batch.targets
        if not self.multi_label:
            options: Any = {"weight": class_weights, "label_smoothing": label_smoothing}
            if weights is None:
                return functional.cross_entropy(logits, targets, **options, reduction="sum")
            return weights @ functional.cross_entropy(logits, targets, **options, reduction="none")
        smooth = targets * (1 - label_smoothing) + label_smoothing / 2
        each = functional.binary_cross_entropy_with_logits(logits, smooth, pos_weight=class_weights, reduction="none")
        of_examples = each.mean(dim=1)
        return of_examples.sum() if weights is None else weights @ of_examples

    def reduce(self, output: Any, batch: Batch, encoded: Encoded) -> Mapping[str, np.ndarray]:
        """Keeps the logits (B, C)."""
        return {"logits": as_numpy(output.logits)}

    def decode(self, reduced: Mapping[str, Any], encoded: Encoded, rows: datasets.Dataset | Table) -> Predictions:
        """Takes the most probable label, or every label that reaches its threshold; see `Task.decode`."""
        import numpy as np

        logits = reduced["logits"].astype(np.float64)
        if self.multi_label:
            probabilities = (1 + np.tanh(logits / 2)) / 2  # the sigmoid, without its overflow
            predicted = (probabilities >= np.array(self.thresholds or 0.5)).astype(np.int64)
        else:
            shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
            probabilities = shifted / shifted.sum(axis=1, keepdims=True)
            predicted = logits.argmax(axis=1)
        references = encoded.targets.astype(np.int64) if encoded.targets is not None else None
        ids = rows["id"][:] if "id" in rows.column_names else [str(number) for number in range(len(rows))]
        return Predictions(ids, predicted, references, probabilities=probabilities.astype(np.float32))

    def records(self, predictions: Predictions, labels: LabelSet | None) -> Iterator[dict[str, Any]]:
        """Gives id, reference, prediction and the probability of every label, by name."""
        assert labels is not None
        assert predictions.probabilities is not None

        def named(value: Any) -> Any:
            if self.multi_label:
                return [name for name, chosen in zip(labels.names, value, strict=True) if chosen]
            return labels.names[value]

        for row, row_id in enumerate(predictions.ids):
            record: dict[str, Any] = {"id": row_id}
            if predictions.references is not None:
                record["reference"] = named(predictions.references[row])
            record["prediction"] = named(predictions.predicted[row])
            shares = predictions.probabilities[row].tolist()
            record["probabilities"] = dict(zip(labels.names, shares, strict=True))
            yield record

    def settings(self) -> dict[str, Any]:
        """Gives the task's name, how texts are read and when a label counts as a yes."""
        settings: dict[str, Any] = {"task": self.name, "max_length": self.max_length}
        if self.thresholds is not None:
            settings["thresholds"] = list(self.thresholds)
        if self.prompts is not None:
            settings["prompts"] = list(self.prompts)
        return settings | {key: True for key in ("multi_label", "ordered") if getattr(self, key)}
