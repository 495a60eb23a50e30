"""Work that one process does for all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from textxfer.errors import TextxferError

if TYPE_CHECKING:
    from accelerate import Accelerator

Result = TypeVar("Result")


def on_main(accelerator: Accelerator, work: Callable[[], Result]) -> Result:
    """Gives, on all processes, what `work` gives on the main one; it begins when all are there.

    Args:
        accelerator: Of the run.
        work: Called on the main process only; its result must be small.

    Raises:
        TextxferError: What `work` raised, on all processes: they would wait for ever for one that has left.
    """
    outcome: list[Any] = [None, None]
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        try:
            outcome[0] = work()
        except TextxferError as error:
            outcome[1] = error
    if accelerator.num_processes > 1:
        from accelerate.utils import broadcast_object_list

        broadcast_object_list(outcome)
    if outcome[1] is not None:
        raise outcome[1]
    result: Result = outcome[0]
    return result
