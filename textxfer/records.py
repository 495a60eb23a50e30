"""What travels between three rooms or more.

Letters in shapes: N examples, R rows, B examples of a batch, T tokens of the longest, C labels.
A *row* is a raw record. An *example* is what the network sees: a row, or one window of a row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import datasets
    import numpy as np
    import torch

SPLIT_NAMES = ("train", "validation", "test")
UNPREDICTED = -100
"""Stands among target tokens where nothing is to be predicted, as in `transformers`."""


@dataclass(frozen=True)
class Split:
    """Rows, and where they came from.

    Attributes:
        rows: The rows. As a source loads them: its own columns. After `data.columns`: the task's columns and `id`.
        origin: A file's name, a Hub id or "rows given in Python"; error messages open with it.
        label_names: Label names in the order of the data set's own ClassLabel, where it has one.
    """

    rows: datasets.Dataset
    origin: str
    label_names: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def where(self, index: int) -> str:
        """Says where row `index` (from 0) stands, counting from 1 as people do."""
        return f"{self.origin} row {index + 1}"

    def select(self, indices: Sequence[int] | np.ndarray) -> Split:
        """Gives a split of these rows, in this order."""
        return replace(self, rows=self.rows.select(indices))


@dataclass(frozen=True)
class Splits:
    """The splits of a data set; only `train` is always there.

    Attributes:
        train: Rows to learn from.
        validation: Rows that choose the best weights, and the temperature of their probabilities.
        test: Rows that are looked at once, at the end.
        reserved: Rows taken out of validation that choose nothing; see `data.splits.reserve`.
    """

    train: Split
    validation: Split | None = None
    test: Split | None = None
    reserved: Split | None = None

    def present(self, *, reserved: bool = False) -> Iterator[tuple[str, Split]]:
        """Gives (name, split) of the splits there are, train first; the reserved rows only where asked for."""
        for name in (*SPLIT_NAMES, *(("reserved",) if reserved else ())):
            split = getattr(self, name)
            if split is not None:
                yield name, split


@dataclass(frozen=True)
class Table:
    """Rows in memory, by column: as much of a `datasets.Dataset` as tasks use, without importing that.

    Attributes:
        columns: The values of each column, in the order of the rows; one column at least.
    """

    columns: Mapping[str, Sequence[Any]]

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]]) -> Table:
        """Makes it of rows, one at least, that have the same columns."""
        return cls({name: [row[name] for row in rows] for name in rows[0]})

    @property
    def column_names(self) -> list[str]:
        """The names of the columns."""
        return list(self.columns)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __getitem__(self, name: str) -> Sequence[Any]:
        return self.columns[name]


@dataclass(frozen=True)
class Encoded:
    """N tokenised examples, without padding: one flat array for all, cut by offsets.

    Attributes:
        input_ids: Token ids of all examples, one after the other (int32).
        offsets: Example i owns tokens offsets[i] to offsets[i + 1] (int64, N + 1).
        token_type_ids: Segment of each token (int8), where the checkpoint uses them.
        targets: What to predict, or None for unlabelled rows. Label ids (N,) int64, label sets (N, C) float32,
            first and last answer token (N, 2) int64, or, with `target_offsets`, token ids one after the other (int64).
        rows: The row each example was made from (N,) int64.
        spans: For windows: first and last character of each token in its context, (-1, -1) for tokens that are not
            the context's (all tokens, 2) int32.
        truncated: Number of rows whose end was cut off.
        words: For masking whole words: the word of its example that each token belongs to, -1 for tokens that the
            tokenizer added (int32).
        target_offsets: Where targets are tokens: example i owns targets[target_offsets[i]] to [i + 1] (int64, N + 1).
    """

    input_ids: np.ndarray
    offsets: np.ndarray
    rows: np.ndarray
    token_type_ids: np.ndarray | None = None
    targets: np.ndarray | None = None
    spans: np.ndarray | None = None
    truncated: int = 0
    words: np.ndarray | None = None
    target_offsets: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def lengths(self) -> np.ndarray:
        """Tokens of each example (N,)."""
        lengths: np.ndarray = self.offsets[1:] - self.offsets[:-1]
        return lengths

    def of_rows(self, rows: np.ndarray) -> tuple[Encoded, np.ndarray]:
        """Gives the examples of some rows, which are then numbered from 0, and their places among all."""
        import numpy as np

        wanted = np.isin(self.rows, rows)
        places, owned = np.flatnonzero(wanted), np.repeat(wanted, self.lengths)
        targets, target_offsets = self.targets, self.target_offsets
        if target_offsets is not None:
            counts = np.diff(target_offsets)
            wanted, target_offsets = np.repeat(wanted, counts), np.concatenate([[0], np.cumsum(counts[places])])
        chosen = replace(
            self,
            input_ids=self.input_ids[owned],
            offsets=np.concatenate([[0], np.cumsum(self.lengths[places])]),
            rows=np.searchsorted(np.sort(rows), self.rows[places]),
            token_type_ids=None if self.token_type_ids is None else self.token_type_ids[owned],
            targets=None if targets is None else targets[wanted],
            target_offsets=target_offsets,
            spans=None if self.spans is None else self.spans[owned],
            words=None if self.words is None else self.words[owned],
        )
        return chosen, places


@dataclass(frozen=True)
class Batch:
    """B padded examples: tensors, or numpy arrays where there is no torch.

    Attributes:
        input_ids: (B, T) int64, padded on the right.
        attention_mask: (B, T) int64, 1 on tokens.
        token_type_ids: (B, T) int64, or None.
        targets: (B,), (B, C) or (B, 2), or token ids (B, any) with -100 where nothing is to be predicted; or None.
        indices: Place of each example in its `Encoded` (B,), on the CPU.
        states: What frozen layers make of the tokens (B, T, D), where that is known already.
        places: `indices` on the batch's device (B,), where the batch was made there.
        others: More keyword arguments of the forward pass.
    """

    input_ids: Any
    attention_mask: Any
    token_type_ids: Any | None
    targets: Any | None
    indices: np.ndarray
    states: torch.Tensor | None = None
    places: torch.Tensor | None = None
    others: Mapping[str, torch.Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.indices)

    def of(self, values: torch.Tensor) -> torch.Tensor:
        """Gives the values of these examples (B,), out of those of all examples (N,)."""
        import torch

        return values[self.places if self.places is not None else torch.from_numpy(self.indices)]

    def inputs(self) -> dict[str, Any]:
        """Gives the keyword arguments of a forward pass: the stock one's, and the states where there are any."""
        inputs = {"input_ids": self.input_ids, "attention_mask": self.attention_mask, **self.others}
        if self.states is not None:
            inputs["states"] = self.states
        if self.token_type_ids is not None:
            inputs["token_type_ids"] = self.token_type_ids
        return inputs


@dataclass(frozen=True)
class Predictions:
    """What a model said of R rows.

    Attributes:
        ids: The rows' ids.
        predicted: Label ids (R,), label sets (R, C) of 0 and 1, or R answers ("" for none).
        references: The gold answers in the same form (QA: a list of texts a row, empty where there is none), or None.
        probabilities: (R, C) float32, for labels.
        scores: Probability of each answer (R,), for QA.
        spans: First character and the one past the last of each answer (R, 2), for QA; -1, -1 where it was written and
            does not stand in the context.
    """

    ids: Sequence[str]
    predicted: Any
    references: Any = None
    probabilities: np.ndarray | None = None
    scores: np.ndarray | None = None
    spans: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def select(self, rows: np.ndarray) -> Predictions:
        """Gives the predictions for these rows, in this order."""

        def chosen(values: Any) -> Any:
            if values is None:
                return None
            return values[rows] if hasattr(values, "ndim") else [values[row] for row in rows.tolist()]

        return replace(self, **{name: chosen(values) for name, values in vars(self).items()})


@dataclass(frozen=True)
class Scores:
    """How good predictions are.

    Attributes:
        values: Score by metric name, each a fraction 0..1.
        num_examples: Rows that were scored.
        per_label: {label: {"precision", "recall", "f1", "support"}}; empty for QA.
        confusion: {"labels": names, "counts": rows of reference, columns of prediction}; None where it has no meaning.
        loss: Mean over examples, without label smoothing and class weights; None where it was not asked for.
        calibration_error: Of the probabilities, see `evaluation.calibrate`; None where there are none.
    """

    values: Mapping[str, float]
    num_examples: int
    per_label: Mapping[str, Mapping[str, float]]
    confusion: Mapping[str, Any] | None = None
    loss: float | None = None
    calibration_error: float | None = None
