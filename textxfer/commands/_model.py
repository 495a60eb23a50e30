"""A saved model on the command line, and how it is run: the same options for every command that uses one."""

from __future__ import annotations

import argparse
from typing import Any

from textxfer.commands._numbers import count
from textxfer.errors import TextxferError


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    parser.add_argument("--backend", choices=["torch", "onnx"], default="torch", help="onnx: an exported model")
    parser.add_argument("--precision", choices=["fp32", "auto"], default="fp32", help="auto: bf16 where it is fast")
    parser.add_argument("--batch-tokens", metavar="N", type=count, help="padded tokens of a batch; default: by device")
    parser.add_argument("--device", metavar="D", help="cpu, cuda, cuda:1, mps; default: the best there is")


def model_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Gives the options as keyword arguments of `textxfer.pipeline`.

    Raises:
        TextxferError: They do not fit each other.
    """
    if arguments.backend == "onnx" and arguments.precision != "fp32":
        raise TextxferError("--precision is for torch; an exported model has the precision it was exported with")
    return {name: getattr(arguments, name) for name in ("backend", "precision", "batch_tokens", "device")}
