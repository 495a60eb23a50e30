"""Heads: what stands on a backbone and turns its states into logits.

Each module holds a `Config` (the `head` section of a recipe, a `HeadSection`) and a function, or a class, that makes
the head: called with the width of the states, the number of labels and the section's own fields, it gives a module that
keeps the promises of `_head.Head`. Where the model is a stock one with a head of its own there is nothing to make: a
`StockHead` says so. Modules here import no torch before a head is made: recipes are read without it.
"""

from textxfer.heads._head import Head, HeadChoice, StockHead, is_stock

__all__ = ["Head", "HeadChoice", "StockHead", "is_stock"]
