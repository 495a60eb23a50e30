"""What a task promises. One loop, one evaluator and one pipeline serve every class that keeps this."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

if TYPE_CHECKING:
    import datasets
    import numpy as np
    import torch

    from textxfer.labels import LabelSet
    from textxfer.records import Batch, Encoded, Predictions, Splits, Table


class Task(Protocol):
    """A task; tasks are made from plain keyword arguments and hold no rows and no weights.

    Attributes:
        name: As in a recipe.
        auto_class: The `transformers` Auto class whose head fits.
        predicts: The kind of its predictions, which metrics judge: "labels", "label sets" or "answers".
        pipeline_tag: The Hub's word for such models.
        required_columns: Columns that every row must have.
        outputs: What `reduce` reads of the model's output; what an exported model gives.
        default_metrics: Names of metrics; `select_by` is the default choice among them.
        label_names: Labels the recipe names, or None.
        max_length: In tokens.
    """

    name: ClassVar[str]
    auto_class: ClassVar[str]
    pipeline_tag: ClassVar[str]
    required_columns: ClassVar[tuple[str, ...]]
    outputs: ClassVar[tuple[str, ...]]
    predicts: str
    default_metrics: tuple[str, ...]
    select_by: str
    label_names: tuple[str, ...] | None
    max_length: int

    def prepare(self, splits: Splits) -> tuple[Splits, LabelSet | None]:
        """Checks rows and gives them ready to encode, with the labels, if the task has any.

        Raises:
            DataError: Rows are wrong; one line each.
        """
        ...

    def cut_by(self, rows: datasets.Dataset) -> tuple[Sequence[Any] | None, Sequence[Any] | None]:
        """Gives each row's stratum, or each row's group, for cutting splits."""
        ...

    def encode(self, rows: datasets.Dataset | Table, tokenizer: Any, labels: LabelSet | None) -> Encoded:
        """Tokenises rows; with targets where rows have labels or answers.

        Args:
            rows: A data set, or rows in memory.
            tokenizer: As `modeling.checkpoint` makes it ready, or a `data.tokenizer.PlainTokenizer`.
            labels: In the order of their ids; None for answers, or where no targets are wanted.
        """
        ...

    def to_be_written(self, prompt: str | None = None, prompt_pair: str | None = None) -> Task:
        """Gives the same task for a model that writes its answers (head `text2text`), which tells tasks by prompts.

        Args:
            prompt: Stands before a text, or a question. Default: the task's own.
            prompt_pair: Stands before a second text, or a context. Default: the task's own.
        """
        ...

    def loss(self, output: Any, batch: Batch, **options: Any) -> torch.Tensor:
        """Gives the loss summed over the batch's examples, a scalar.

        Args:
            output: Of the stock forward pass.
            batch: With targets.
            **options: `label_smoothing` (fraction), `weights` (B,) that multiply the examples' losses, and for labels
                `class_weights` (C,), what an example of each label counts.
        """
        ...

    def reduce(self, output: Any, batch: Batch, encoded: Encoded) -> Mapping[str, np.ndarray | torch.Tensor]:
        """Gives what must be kept of a batch's output to decode it later: small arrays with B rows.

        Args:
            output: Of the stock forward pass; its attributes are tensors, or numpy arrays where the model was exported.
            batch: That it is the output of.
            encoded: Where the batch's examples lie.
        """
        ...

    def decode(self, reduced: Mapping[str, Any], encoded: Encoded, rows: datasets.Dataset | Table) -> Predictions:
        """Turns what `reduce` kept of all examples (N rows, numpy) into predictions for the rows."""
        ...

    def records(self, predictions: Predictions, labels: LabelSet | None) -> Iterator[dict[str, Any]]:
        """Gives one JSON object per row for predictions.jsonl."""
        ...

    def settings(self) -> dict[str, Any]:
        """Gives what a saved model must know to be used: goes into config.json under `textxfer`."""
        ...
