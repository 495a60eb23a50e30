"""Tasks: what differs between sentiment, topic and question answering, and nothing else.

Each module holds a `Config` (the `task` section of a recipe) and a class that keeps the promises of `_task.Task`.
"""

from textxfer.tasks._task import Task

__all__ = ["Task"]
