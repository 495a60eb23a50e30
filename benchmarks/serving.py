"""Texts a second of `textxfer serve` under many clients, beside bulk prediction of the same texts by the same model."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from common.arguments import locate, make_parser
from common.data import load_set
from common.processes import call
from common.report import Report
from common.rounds import Run, ratios, shown, take_turns

WARM_UP = 64
COLUMNS = ("set", "system", "seconds", "texts/s", "of bulk", "p50 ms", "p99 ms", "errors", "labels as bulk", "peak MB")
BULK = "textxfer predict, file to file"


def main() -> None:
    """Trains a model, then has bulk prediction and the server label the same texts, in turns."""
    parser = make_parser(__doc__ or "", peers=False)
    parser.set_defaults(sets=["sst2"], rows=256)
    parser.add_argument("--texts", type=int, default=2000, help="texts to label")
    parser.add_argument("--clients", type=int, default=32, help="that each send a request when the last is answered")
    parser.add_argument("--each", type=int, nargs="+", default=[1, 8], help="texts of a request")
    parser.add_argument("--serve", default="", help="more flags of `textxfer serve`")
    arguments = parser.parse_args()
    sets = [load_set(arguments.data, name, arguments.rows) for name in arguments.sets]
    report = Report("serving", arguments, COLUMNS)
    for texts in sets:
        with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
            options = {"checkpoint": locate(arguments.checkpoint), "train": texts.train, "epochs": 1, "keep": folder}
            model = call("common.systems:model_for_inference", arguments.threads, **options)["model"]
            rows = [*(texts.test or []), *texts.rest][: arguments.texts]
            print(f"{texts.name}: {len(rows)} texts to label, {arguments.clients} clients")
            ask = partial(_ask, arguments.threads, model=model, texts=[row["text"] for row in rows])
            systems = {BULK: ask("bulk")}
            for each in arguments.each:
                name = f"textxfer serve, {each} {'text' if each == 1 else 'texts'} a request"
                flags = arguments.serve.split()
                systems[name] = ask("server", clients=arguments.clients, each=each, flags=flags)
            _add(report, texts.name, take_turns(systems, arguments.repeats))
    report.show()


def _ask(threads: int, job: str, **settings: Any) -> Any:
    """Gives a function that labels the texts in a fresh process."""
    return lambda _: call(f"serving:{job}", threads, **settings)


def _add(report: Report, name: str, runs: dict[str, list[Run]]) -> None:
    bulk = [run["seconds"] for run in runs[BULK]]
    labels = runs[BULK][0]["labels"]
    for system, its in runs.items():
        seconds = [run["seconds"] for run in its]
        speed = f"{len(labels) / statistics.median(seconds):.0f}"
        of_bulk = "1" if system == BULK else shown(ratios(bulk, seconds))
        agreement = statistics.mean(map(str.__eq__, its[0]["labels"], labels))
        waits = [shown([run[key] for run in its], 0) if key in its[0] else "-" for key in ("p50_ms", "p99_ms")]
        errors = str(sum(run["errors"] for run in its)) if "errors" in its[0] else "-"
        for run in its:
            assert len(run.pop("labels")) == len(labels)
        peak = shown([run["peak_mb"] for run in its], 0)
        report.add([name, system, shown(seconds), speed, of_bulk, *waits, errors, f"{agreement:.4f}", peak], its)


def bulk(model: str, texts: list[str]) -> dict[str, Any]:
    """Labels texts with `textxfer.predict_file`; its model's loading is not timed. Runs in a child."""
    from textxfer import predict_file

    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "texts.jsonl"), Path(folder, "labels.jsonl")
        for part in (texts[:WARM_UP], texts):
            source.write_text("".join(json.dumps({"text": text}) + "\n" for text in part))
            seconds = predict_file(model, source, target, overwrite=True).predict_seconds
        labels = [json.loads(line)["label"] for line in target.read_text().splitlines()]
    return {"seconds": seconds, "labels": labels}


def server(model: str, texts: list[str], clients: int, each: int, flags: list[str]) -> dict[str, Any]:
    """Labels texts by a server in a process of its own, to which this one is the clients. Runs in a child.

    The server has the threads that bulk prediction has; the clients need a core of their own beside it.
    """
    command = [sys.executable, "-m", "textxfer", "serve", model, "--port", "0", *flags]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        found = re.search(r"http://([\d.]+):(\d+)", line)
        if found is None:
            raise SystemExit(line + process.stderr.read())
        address = (found[1], int(found[2]))
        parts = [texts[start : start + each] for start in range(0, len(texts), each)]
        asyncio.run(_load(address, parts[:WARM_UP], clients))
        began = time.perf_counter()
        answers = asyncio.run(_load(address, parts, clients))
        seconds = time.perf_counter() - began
        peak = _peak_mb(process.pid)
        process.send_signal(signal.SIGTERM)
        if process.wait() != 0:
            raise SystemExit(process.stderr.read())
    waits = sorted(wait for wait, *_ in answers)
    cuts = statistics.quantiles(waits, n=100)
    labels = [label for _, _, found in answers for label in found]
    errors = sum(status != 200 for _, status, _ in answers)
    told = {"p50_ms": cuts[49] * 1000, "p99_ms": cuts[98] * 1000, "errors": errors}
    return {"seconds": seconds, "labels": labels, "peak_mb": peak, **told}


async def _load(address: tuple[str, int], parts: list[list[str]], clients: int) -> list[tuple[float, int, list[str]]]:
    """Has clients post all parts, each its next when its last is answered; gives seconds, status and labels of each."""
    answers: list[tuple[float, int, list[str]]] = [(0.0, 0, [])] * len(parts)
    left = iter(enumerate(parts))

    async def client() -> None:
        reader, writer = await asyncio.open_connection(*address)
        for place, part in left:
            body = json.dumps({"texts": part}).encode()
            head = f"POST /predict HTTP/1.1\r\nHost: {address[0]}\r\nContent-Type: application/json\r\n"
            began = time.perf_counter()
            writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            told = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = re.search(r"content-length: (\d+)", told, re.IGNORECASE)
            content = await reader.readexactly(int(length[1]) if length else 0)
            wait, status = time.perf_counter() - began, int(told.split()[1])
            found = json.loads(content).get("predictions", [{"labels": [{"label": ""}]}] * len(part))
            answers[place] = wait, status, [each["labels"][0]["label"] for each in found]
        writer.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    return answers


def _peak_mb(process: int) -> float:
    """Gives the most memory that a process has had resident, in MB; 0 where the system does not tell."""
    status = Path(f"/proc/{process}/status")
    if not status.exists():
        return 0.0
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024 / 1e6


if __name__ == "__main__":
    main()
