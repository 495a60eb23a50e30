"""Rows of train whose label is probably wrong: confident learning (Northcutt et al. 2021, arXiv:1911.00068).

Two probes say how probable each label is of rows that they were not fitted on: logistic regression on what the
pretrained checkpoint makes of the texts (the mean over tokens, of several layers), and on the texts' spelling (TF-IDF
of character pieces), which counts half as much. A row is the more suspect the less probable its own label is; how many
are named is for `wrong_labels` to say.

Letters in shapes: R rows, C labels, L layers, D values of a layer.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textxfer.data.columns import row_texts
from textxfer.data.reviewed import cell
from textxfer.errors import DataError, OutputError
from textxfer.evaluation.features import features
from textxfer.evaluation.wrong_labels import is_rough, wrong_labels
from textxfer.labels import LabelSet
from textxfer.modeling.probe import logistic
from textxfer.records import Encoded

if TYPE_CHECKING:
    import datasets
    import numpy as np
    import torch

    from textxfer.modeling.freezing import Frozen

FOLDS = 5
"""Parts of the rows; each is judged by probes that were fitted on the others. A label of fewer rows is not judged."""
WEIGHTS = (2 / 3, 1 / 3)
"""What the two probes count: features, spelling."""
INVERSE_PENALTY = 2.0
MOST_FITTED = 20_000
"""Rows that a probe is fitted on, drawn from those it may see."""
MOST_BYTES = 2**29
"""Of the features; where there are very many rows, fewer layers are taken."""
MOST_CHARACTERS = 1000
"""Of a text whose spelling is looked at."""
CHEAP = 2e12
"""Most floating-point operations of an unasked look: some seconds of a CPU."""
CHEAP_SHARE = 1 / 8
"""Of the operations of the training before it."""
PROBE_PASSES = 1200
"""Operations a row, value and label of all probes: some 60 iterations of 4 operations in each fold."""
COLUMNS = ("id", "text", "given", "suggested", "score", "drop", "weight")


@dataclass(frozen=True)
class Suspect:
    """A row whose label is doubtful.

    Attributes:
        row: Its place in train, from 0.
        id: Its id.
        text: Its text or texts.
        given: Its label.
        suggested: The label that the probes find most probable, of the others.
        score: How improbable its label is, 0 to 1.
    """

    row: int
    id: str
    text: str
    given: str
    suggested: str
    score: float


@dataclass(frozen=True)
class Suspects:
    """The doubtful rows of train.

    Attributes:
        found: The most doubtful first.
        estimated: Rows whose label is wrong, as their number is estimated; None where that cannot be told.
        judged: Rows that were looked at.
        unjudged: Labels of so few rows (fewer than 5) that nothing can be said of theirs.
        caveat: Why the estimate is rough, or none; None where it is not.
    """

    found: tuple[Suspect, ...]
    estimated: int | None
    judged: int
    unjudged: tuple[str, ...]
    caveat: str | None = None

    @property
    def told(self) -> str:
        """What was found, in a sentence."""
        named = {0: "none is named", 1: "the most doubtful one is named"}.get(
            len(self.found), f"the {len(self.found):,} most doubtful are named"
        )
        of = f"of {self.judged:,} training rows"
        if self.estimated is None:
            return f"which {of} bear the wrong label cannot be told ({self.caveat}); {named}"
        share = f"{self.estimated:,} {of} ({self.estimated / self.judged:.1%})"
        if self.caveat is None:
            said = f"about {share} may bear" if self.estimated else f"none {of} seems to bear"
            return f"{said} the wrong label; {named}"
        said = f"up to {share} bear" if self.estimated else f"none {of} bears"
        doubt = ", and many of them may be right" if self.found else ""
        return f"at a rough guess {said} the wrong label ({self.caveat}); {named}{doubt}"

    def to_dict(self) -> dict[str, Any]:
        """Gives what was found, but the rows, as plain data for JSON."""
        return {
            "message": self.told,
            "estimated": self.estimated,
            "named": len(self.found),
            "judged": self.judged,
            "unjudged_labels": list(self.unjudged),
        }


def is_cheap(model: torch.nn.Module, encoded: Encoded, counts: Sequence[int], frozen: Frozen, epochs: float) -> bool:
    """Says whether looking for suspects is worth it unasked: it tells something, and takes little beside the training.

    Counted are two operations a parameter and token forward and four backward, above the embeddings, and the probes'
    iterations; not the clock, so that a run repeats itself.

    Args:
        model: Of the run.
        encoded: The training rows as examples.
        counts: Training rows of each label.
        frozen: What was not trained; its output is taken as computed once.
        epochs: That were trained.
    """
    config: Any = model.config
    tokens, width = int(encoded.offsets[-1]), (int(config.num_hidden_layers) + 1) * int(config.hidden_size)
    whole = sum(size.total for size in frozen.table if size.part != "embeddings")
    trained = sum(size.trainable for size in frozen.table if size.part != "embeddings")
    judged = [count for count in counts if count >= FOLDS]
    look = 2 * tokens * whole + PROBE_PASSES * len(encoded) * width * len(judged)
    training = 2 * tokens * (whole - trained + 3 * epochs * trained)
    return len(judged) > 1 and not is_rough(judged) and look <= min(CHEAP, CHEAP_SHARE * training)


def suspects(
    model: torch.nn.Module,
    encoded: Encoded,
    rows: datasets.Dataset,
    labels: LabelSet,
    *,
    pad_token_id: int,
    most: int | None = None,
    seed: int = 0,
    autocast: Callable[[], Any] | None = None,
    between: Callable[[float], None] | None = None,
) -> Suspects:
    """Finds the rows of train whose label is probably wrong.

    Args:
        model: The pretrained checkpoint on its device, under any head, before it is trained on these rows.
        encoded: The rows as examples.
        rows: R rows with one label each.
        labels: In the order of their ids.
        pad_token_id: Of the tokenizer.
        most: How many to give; default: as many as the evidence bears.
        seed: Of the parts.
        autocast: Makes the context for each forward pass; default: the weights' own precision.
        between: Called often with the share that is done, 0 to 1; may raise to stop.

    Raises:
        DataError: Rows have lists of labels, or fewer than two labels have 5 rows.
    """
    import numpy as np

    tell = between or (lambda share: None)
    given = _given(rows, labels)
    config: Any = model.config
    layers = _layers(int(config.num_hidden_layers), len(rows) * int(config.hidden_size) * np.dtype(np.float32).itemsize)
    vectors = features(
        model,
        encoded,
        pad_token_id=pad_token_id,
        layers=layers,
        autocast=autocast,
        between=lambda share: tell(0.7 * share),
    )
    return rank(vectors, given, rows, labels, most=most, seed=seed, between=lambda share: tell(0.7 + 0.3 * share))


def rank(
    vectors: np.ndarray,
    given: np.ndarray,
    rows: datasets.Dataset,
    labels: LabelSet,
    *,
    most: int | None = None,
    seed: int = 0,
    between: Callable[[float], None] | None = None,
) -> Suspects:
    """Finds the suspects by vectors that are there already.

    Args:
        vectors: What a pretrained model makes of the rows (R, D) or (R, L, D).
        given: Their label ids (R,).
        rows: See `suspects`, as for the rest.
        labels: In the order of their ids.
        most: How many to give.
        seed: Of the parts.
        between: Called with the share that is done.
    """
    import numpy as np

    counts = np.bincount(given, minlength=len(labels))
    judged = np.flatnonzero(counts[given] >= FOLDS)
    known, own = np.unique(given[judged], return_inverse=True)
    if len(known) < 2:
        raise DataError(f"suspects: {len(known)} labels have {FOLDS} rows or more in train; two are needed")
    texts = row_texts(rows)
    inputs = _inputs(vectors[judged], [texts[row] for row in judged])
    probabilities = _out_of_fold(inputs, own, seed, between or (lambda share: None))
    place = np.arange(len(own))
    doubt = 1 - probabilities[place, own]
    others = probabilities.copy()
    others[place, own] = -1
    suggested = known[others.argmax(axis=1)]
    wrong = wrong_labels(probabilities, own)
    order = np.argsort(-doubt, kind="stable")[: wrong.borne if most is None else most]
    found = tuple(
        Suspect(
            row=int(judged[at]),
            id=str(rows[int(judged[at])]["id"]),
            text=texts[judged[at]],
            given=labels.names[known[own[at]]],
            suggested=labels.names[suggested[at]],
            score=float(doubt[at]),
        )
        for at in order
    )
    few = tuple(name for name, count in zip(labels.names, counts, strict=True) if 0 < count < FOLDS)
    return Suspects(found, wrong.estimated, len(judged), few, wrong.caveat)


def write(found: Suspects, path: Path) -> None:
    """Writes a list to review: `dataset.drop` leaves out rows with x in `drop`, and weighs those with a `weight`.

    Raises:
        OutputError: It cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8-sig", newline="") as file:  # the mark tells spreadsheets that it is UTF-8
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            for each in found.found:
                shown = [cell(text) for text in (each.id, each.text, each.given, each.suggested)]
                writer.writerow([*shown, f"{each.score:.4f}", "", ""])
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from error


def _given(rows: datasets.Dataset, labels: LabelSet) -> np.ndarray:
    import numpy as np

    values: Sequence[Any] = rows["label"][:]
    if any(isinstance(value, list) for value in values):
        raise DataError("suspects: can be found where each row has one label, not where it has any number of labels")
    return np.array([labels.label2id[value] for value in values], dtype=np.int64)


def _layers(depth: int, bytes_of_one: int) -> list[int]:
    """Gives the layers to take: all with the embeddings, or as many as there is room for, from the top evenly."""
    import numpy as np

    room = max(MOST_BYTES // bytes_of_one, 1)
    if room > depth:
        return list(range(depth + 1))
    return sorted({round(layer) for layer in np.linspace(depth, 0, room, endpoint=False)})


def _inputs(vectors: np.ndarray, texts: Sequence[str]) -> list[Any]:
    """Gives what each probe sees: features that are standardised as a whole, and TF-IDF of the spelling."""
    import numpy as np
    from sklearn.feature_extraction.text import TfidfVectorizer

    flat = vectors.reshape(len(vectors), -1).astype(np.float32)
    flat -= flat.mean(axis=0)
    flat /= np.maximum(flat.std(axis=0), 1e-6) * np.sqrt(flat.shape[1])
    spelling = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, max_features=50_000)
    try:
        return [flat, spelling.fit_transform([text[:MOST_CHARACTERS] for text in texts])]
    except ValueError:  # there is no spelling in empty texts
        return [flat]


def _out_of_fold(inputs: Sequence[Any], own: np.ndarray, seed: int, tell: Callable[[float], None]) -> np.ndarray:
    """Gives the probability of each label for each row (R, C), by probes that did not see the row."""
    import numpy as np
    from sklearn.model_selection import StratifiedKFold

    rng = np.random.default_rng(seed)
    probabilities = np.zeros((len(own), own.max() + 1))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    for fold, (seen, unseen) in enumerate(folds.split(own, own)):
        if len(seen) > MOST_FITTED:
            seen = rng.permutation(seen)[:MOST_FITTED]
        for number, (each, weight) in enumerate(zip(inputs, WEIGHTS, strict=False)):
            tell((fold + number / len(inputs)) / FOLDS)
            probe = logistic(each[seen], own[seen], INVERSE_PENALTY)
            probabilities[np.ix_(unseen, probe.classes_)] += weight * probe.predict_proba(each[unseen])
    tell(1.0)
    return probabilities / probabilities.sum(axis=1, keepdims=True)
