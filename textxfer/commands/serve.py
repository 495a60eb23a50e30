"""`textxfer serve MODEL`: a model behind HTTP, with a page to try it."""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from textxfer.commands._model import add_model_arguments, model_options
from textxfer.commands._numbers import count
from textxfer.errors import MissingExtra, TextxferError

if TYPE_CHECKING:
    from textxfer.serving._limits import Limits

SUMMARY = "serve a model over HTTP, with a page to try it"
TOKEN = "TEXTXFER_SERVE_TOKEN"
BATCH_TOKENS_ON_CPU = 512
"""Few texts wait at a time, and there like lengths save more than large batches do."""
PACKAGES = ("fastapi", "uvicorn", "prometheus_client")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.epilog = f"With {TOKEN} in the environment, requests must send it as a bearer token."
    parser.add_argument("model", help="a run, a model's folder, or a Hub id (id@revision)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; default: 127.0.0.1, this machine")
    parser.add_argument("--port", metavar="N", type=_port, default=8000, help="default: 8000; 0 takes a free one")
    add_model_arguments(parser)
    parser.add_argument(
        "--batch-texts", metavar="N", type=count, default=32, help="of a call of the model; default: 32"
    )
    parser.add_argument("--max-body", metavar="BYTES", type=count, help="of a request; default: 2097152")
    parser.add_argument("--max-texts", metavar="N", type=count, help="of a request; default: 256")
    parser.add_argument("--max-characters", metavar="N", type=count, help="of a text; default: 50000")
    parser.add_argument("--max-waiting", metavar="N", type=count, help="texts that may wait; default: 1024")
    parser.add_argument("--max-waiting-bytes", metavar="BYTES", type=count, help="of all bodies; default: 67108864")
    parser.add_argument("--read-timeout", metavar="S", type=_seconds, help="to send a request; default: 20")
    parser.add_argument("--timeout", metavar="S", type=_seconds, help="to answer it; default: 30")
    parser.add_argument("--quiet", action="store_true", help="show mistakes only")


def execute(arguments: argparse.Namespace) -> int:
    """Serves until it is asked to stop by Ctrl-C or SIGTERM; both are exit code 0, when all is answered."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtra(f"serve: {missing[0]} is not installed; pip install 'textxfer[serve]'")
    token = _token()
    options = model_options(arguments)
    from textxfer.serving.server import address, listen

    limits = _limits(arguments)
    sock = listen(arguments.host, arguments.port)
    try:
        from textxfer.serving.app import create_app
        from textxfer.serving.pipeline import pipeline
        from textxfer.serving.server import serve

        options["batch_tokens"] = arguments.batch_tokens or _batch_tokens(arguments.backend, arguments.device)
        pipe = pipeline(arguments.model, **options)
        name = _name(arguments.model)
        app = create_app(pipe, name=name, limits=limits, token=token, batch_texts=arguments.batch_texts)
        lines = [f"{name}: {address(sock)}  (Ctrl-C stops)"]
        if token is None and not sock.getsockname()[0].startswith(("127.", "::1")):
            lines.append(f"anyone who reaches this address may use the model; a token in {TOKEN} would be asked for")
        serve(app, sock, limits, lambda: _say(arguments, *lines))
    finally:
        sock.close()
    _say(arguments, f"stopped; {app.state.metrics.answered:,} requests answered")
    return 0


def _say(arguments: argparse.Namespace, *lines: str) -> None:
    if not arguments.quiet:
        print("\n".join(lines), file=sys.stderr, flush=True)


def _token() -> str | None:
    token = os.environ.get(TOKEN)
    if token is not None and not (token.isascii() and token.isprintable() and token and " " not in token):
        raise TextxferError(
            f"{TOKEN}: is empty, or has characters that no header may have; unset it, or choose another"
        )
    return token


def _batch_tokens(backend: str, device: str | None) -> int | None:
    """Gives the padded tokens of a batch; None: as many as the device does best with."""
    if backend == "onnx" and device is None:
        return BATCH_TOKENS_ON_CPU
    from textxfer.modeling.device import best_device

    kind = device.partition(":")[0] if device is not None else best_device().type
    return BATCH_TOKENS_ON_CPU if kind == "cpu" else None


def _limits(arguments: argparse.Namespace) -> Limits:
    from textxfer.serving._limits import Limits

    given = {
        "body_bytes": arguments.max_body,
        "texts": arguments.max_texts,
        "characters": arguments.max_characters,
        "waiting": arguments.max_waiting,
        "waiting_bytes": arguments.max_waiting_bytes,
        "read_seconds": arguments.read_timeout,
        "answer_seconds": arguments.timeout,
    }
    try:
        return Limits(**{name: value for name, value in given.items() if value is not None})
    except ValueError as error:
        flag = "--max-waiting-bytes" if str(error).startswith("waiting_bytes") else "--max-waiting"
        raise TextxferError(f"{flag}: {error}") from error


def _name(model: str) -> str:
    """Gives what a person would call a model: its run's name, or its Hub id."""
    path = Path(model)
    if not path.is_dir():
        return model
    resolved = path.resolve()
    return resolved.parent.name if resolved.name == "model" else resolved.name


def _port(text: str) -> int:
    number = int(text)
    if not 0 <= number <= 65535:
        raise ValueError
    return number


def _seconds(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise ValueError
    return number


_port.__name__ = "port from 0 to 65535"  # argparse's messages name them
_seconds.__name__ = "number of seconds"
