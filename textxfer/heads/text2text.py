"""Text to text: T5 writes the label's words, or the answer to a question, and has no head but its own."""

from __future__ import annotations

from typing import Literal

from textxfer.heads._head import StockHead
from textxfer.section import HeadSection


class Config(HeadSection):
    """The label's words, or the answer, written by T5: the text-to-text form that it was pretrained in.

    Of labels no text is written that might be none: the probability of each label's words is computed exactly. The
    saved model is a stock one that also writes by itself. `train.label_smoothing` spreads over the words of all labels,
    which then are all computed in training, too; for answers over the vocabulary.
    """

    name: Literal["text2text"] = "text2text"
    """The head."""
    start: Literal["probe", "random"] | None = None
    """Idle, as there is no new head to start; `probe` is an error."""
    prompt: str | None = None
    """What stands before each text, by which T5 tells tasks apart, with its last space. Default: the checkpoint's where
    textxfer trained it to write the same labels, or answers; else the task's name, as in `topic: `, and for answers
    T5's own for SQuAD, `question: `. That for SST-2 is `sst2 sentence: `."""
    prompt_pair: str | None = None
    """What stands before the second text of a pair, as in `sentence2: `, or between question and context. Default: the
    checkpoint's as above; else nothing, and ` context:` for answers."""
    words: dict[str, str] = {}  # noqa: RUF012  # pydantic copies it
    """The words of each label. Default: the checkpoint's as above; else its name, with spaces for underscores. For a
    task that T5 was pretrained on, its own words start best: `{neg: negative, pos: positive}`."""


text2text = StockHead()
