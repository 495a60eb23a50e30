"""The checkpoint's own head: the one that transformers puts on a backbone of its family."""

from __future__ import annotations

from typing import Literal

from textxfer.heads._head import StockHead
from textxfer.section import HeadSection


class Config(HeadSection):
    """The checkpoint's own head, as transformers has it; the saved model is a stock one."""

    name: Literal["native"] = "native"
    """The head."""


native = StockHead()
