"""`textxfer run RECIPE`: the same as `python -m textxfer.run RECIPE`."""

from textxfer.run import add_arguments, execute

SUMMARY = "fine-tune, judge and save a model as a recipe says"

__all__ = ["SUMMARY", "add_arguments", "execute"]
