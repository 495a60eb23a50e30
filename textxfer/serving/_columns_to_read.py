"""`columns_to_read`: which columns of some data a saved model reads."""

from __future__ import annotations

from collections.abc import Mapping

from textxfer.errors import DataError
from textxfer.records import Split
from textxfer.serving._saved import no_second_text
from textxfer.serving.engine import Engine

OF_REFERENCES = ("label", "answers")


def columns_to_read(engine: Engine, split: Split, given: Mapping[str, str]) -> dict[str, str]:
    """Gives the data's column for each that the model reads: of a second text too, where it was trained on pairs.

    Where nothing tells whether it was, a column `text_pair` is read.

    Args:
        engine: With the model.
        split: The data.
        given: Columns that the user named, by the task's names; they are among what is given back.

    Raises:
        DataError: It was trained on pairs, and there is no such column.
    """
    there = "text_pair" in split.rows.column_names
    if engine.pairs and not there and "text_pair" not in given:
        raise DataError(f"{no_second_text(split.origin)}; say `dataset.text_pair`")
    read = {name: name for name in engine.task.required_columns if name not in OF_REFERENCES}
    if engine.labels is not None and there and engine.pairs is not False:
        read["text_pair"] = "text_pair"
    return read | dict(given)
