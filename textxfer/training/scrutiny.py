"""What is odd about the rows of a run, before and after it: findings, and labels that are probably wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textxfer.disk import write_pieces
from textxfer.training.run_folder import ABOUT_SUSPECTS, SUSPECTS

if TYPE_CHECKING:
    from textxfer.data.findings import Findings
    from textxfer.evaluation.suspects import Suspects
    from textxfer.training.prepare import Prepared

MOST_NEAR = 200_000
"""Rows: beyond that, nearly equal texts are looked for only where it is asked for."""


def look_at(prepared: Prepared, near: bool | None = None, between: Callable[[float], None] | None = None) -> Findings:
    """Gives what is odd about the rows of a run.

    Args:
        prepared: The run.
        near: Whether to look for nearly equal texts; None: up to 200,000 rows.
        between: Called with the share that is done.
    """
    from textxfer.data.findings import find

    rows = prepared.rows
    splits = dict(rows.splits.present(reserved=True))
    truncated = {name: prepared.encoded[name].truncated for name in splits}
    near = sum(map(len, splits.values())) <= MOST_NEAR if near is None else near
    most = rows.task.max_length
    return find(rows.splits, rows.labels, max_length=most, truncated=truncated, near=near, between=between)


def find_suspects(
    prepared: Prepared,
    most: int | None = None,
    autocast: Callable[[], Any] | None = None,
    between: Callable[[float], None] | None = None,
) -> Suspects:
    """Gives the training rows of a run whose label is probably wrong, by the checkpoint as it was before the run.

    Args:
        prepared: The run, of one label a text.
        most: How many to give; default: as many as the evidence bears.
        autocast: Makes the context for each forward pass; default: fp32.
        between: Called with the share that is done; may raise to stop.
    """
    from textxfer.evaluation.suspects import suspects
    from textxfer.modeling.device import best_device
    from textxfer.training.looks import built_to_look

    rows, checkpoint = prepared.rows, prepared.checkpoint
    assert rows.labels is not None
    model = built_to_look(checkpoint, rows).to(best_device())
    return suspects(
        model,
        prepared.encoded["train"],
        rows.splits.train.rows,
        rows.labels,
        pad_token_id=checkpoint.tokenizer.pad_token_id,
        most=most,
        autocast=autocast,
        between=between,
    )


def write_suspects(found: Suspects, folder: Path) -> None:
    """Writes suspects.csv, to be reviewed, into a run's folder, and what there is to say of it, which the report shows.

    Raises:
        OutputError: They cannot be written.
    """
    from textxfer.evaluation.suspects import write

    write(found, folder / SUSPECTS)
    write_pieces(folder / ABOUT_SUSPECTS, [json.dumps(found.to_dict(), indent=2, ensure_ascii=False) + "\n"])
