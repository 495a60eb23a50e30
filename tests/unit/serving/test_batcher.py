"""The batcher alone: what is put together, who waits for whom, what happens to errors and to those who leave."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")

from tests.unit.serving.http import run_async
from textxfer.serving._batcher import Batcher, QueueFull


def rows(*texts: str) -> list[dict[str, str]]:
    return [{"text": text} for text in texts]


class Model:
    """Gives texts back in capitals, once its gate is open."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.began = threading.Event()
        self.calls: list[list[str]] = []

    def __call__(self, rows: list[dict[str, str]], **options: Any) -> list[str]:
        texts = [row["text"] for row in rows]
        self.calls.append(texts)
        self.began.set()
        assert self.gate.wait(20)
        if "bad" in texts:
            raise ValueError("bad")
        return [text.upper() + str(options.get("top_k", "")) for text in texts]


async def begun(model: Model, batcher: Batcher) -> asyncio.Task[Any]:
    """Gives the model something to do, so that what comes next has to wait."""
    task = asyncio.create_task(batcher.submit(rows("first")))
    await asyncio.to_thread(model.began.wait, 20)
    return task


async def waiting(batcher: Batcher, count: int) -> None:
    for _ in range(2000):
        if batcher.waiting == count:
            return
        await asyncio.sleep(0.005)
    raise AssertionError(f"{batcher.waiting} rows wait, not {count}")


def run(test: Any, **settings: Any) -> Model:
    model = Model()
    batcher = Batcher(model, **settings)

    async def main() -> None:
        async with asyncio.timeout(20):
            await test(model, batcher)

    try:
        run_async(main())
    finally:
        model.gate.set()
        batcher.close(20)
    return model


def test_what_waits_is_predicted_together_and_answered_apart() -> None:
    async def test(model: Model, batcher: Batcher) -> None:
        first = await begun(model, batcher)
        others = [asyncio.create_task(batcher.submit(rows(f"a{number}", f"b{number}"))) for number in range(5)]
        await waiting(batcher, 10)
        model.gate.set()
        assert await first == ["FIRST"]
        assert await asyncio.gather(*others) == [[f"A{number}", f"B{number}"] for number in range(5)]

    assert [len(call) for call in run(test).calls] == [1, 10]


def test_a_batch_holds_so_many_rows_and_characters() -> None:
    async def test(model: Model, batcher: Batcher) -> None:
        model.gate.set()
        texts = [*map(str, range(10)), "x" * 100, "y" * 30, "z" * 30]
        assert await batcher.submit(rows(*texts)) == [text.upper() for text in texts]

    calls = run(test, batch_rows=4, batch_characters=50).calls
    assert [len(call) for call in calls] == [4, 4, 2, 1, 1, 1]


def test_a_long_request_lets_short_ones_pass() -> None:
    async def test(model: Model, batcher: Batcher) -> None:
        first = await begun(model, batcher)
        long = asyncio.create_task(batcher.submit(rows(*(f"long {number}" for number in range(40)))))
        await waiting(batcher, 40)
        short = asyncio.create_task(batcher.submit(rows("short")))
        await waiting(batcher, 41)
        model.gate.set()
        await asyncio.gather(first, short, long)

    calls = run(test, batch_rows=8).calls
    assert next(place for place, call in enumerate(calls) if "short" in call) == 2
    assert [text for call in calls for text in call if text.startswith("long")] == [
        f"long {number}" for number in range(40)
    ]


def test_other_options_are_another_call() -> None:
    async def test(model: Model, batcher: Batcher) -> None:
        first = await begun(model, batcher)
        tasks = [asyncio.create_task(batcher.submit(rows(str(n)), (("top_k", n % 2),))) for n in range(6)]
        await waiting(batcher, 6)
        model.gate.set()
        await first
        assert await asyncio.gather(*tasks) == [[f"{n}{n % 2}"] for n in range(6)]

    assert run(test).calls == [["first"], ["0", "2", "4"], ["1", "3", "5"]]


def test_pairs_are_another_call_than_texts() -> None:
    async def test(model: Model, batcher: Batcher) -> None:
        first = await begun(model, batcher)
        pair = {"text": "pair", "text_pair": "of texts"}
        tasks = [asyncio.create_task(batcher.submit(each)) for each in (rows("a"), [pair], rows("b"), [pair])]
        await waiting(batcher, 4)
        model.gate.set()
        await first
        assert await asyncio.gather(*tasks) == [["A"], ["PAIR"], ["B"], ["PAIR"]]

    assert run(test).calls == [["first"], ["a", "b"], ["pair", "pair"]]


def test_a_full_queue_says_when_to_come_back() -> None:
    async def test(model: Model, batcher: Batcher) -> None:
        first = await begun(model, batcher)
        fits = asyncio.create_task(batcher.submit(rows("a", "b")))
        await waiting(batcher, 2)
        assert not batcher.full
        with pytest.raises(QueueFull) as error:
            await batcher.submit(rows("c", "d"))
        assert 1 <= error.value.retry_after <= 60
        third = asyncio.create_task(batcher.submit(rows("e")))
        await waiting(batcher, 3)
        assert batcher.full
        model.gate.set()
        assert [await first, await fits, await third] == [["FIRST"], ["A", "B"], ["E"]]

    run(test, most_waiting=3)


def test_an_error_is_told_to_its_own_request_only() -> None:
    async def test(model: Model, batcher: Batcher) -> None:
        first = await begun(model, batcher)
        tasks = [asyncio.create_task(batcher.submit(rows(text))) for text in ("good", "bad", "fine")]
        await waiting(batcher, 3)
        model.gate.set()
        await first
        good, bad, fine = await asyncio.gather(*tasks, return_exceptions=True)
        assert (good, fine) == (["GOOD"], ["FINE"])
        assert isinstance(bad, ValueError)
        assert await batcher.submit(rows("after")) == ["AFTER"]

    run(test)


def test_who_leaves_takes_the_rows_along() -> None:
    async def test(model: Model, batcher: Batcher) -> None:
        first = await begun(model, batcher)
        gone = asyncio.create_task(batcher.submit(rows("gone", "gone too")))
        stays = asyncio.create_task(batcher.submit(rows("stays")))
        await waiting(batcher, 3)
        gone.cancel()
        await waiting(batcher, 1)
        first.cancel()
        model.gate.set()
        assert await stays == ["STAYS"]

    assert run(test).calls == [["first"], ["stays"]]


def test_closing_answers_what_waits_and_takes_no_more() -> None:
    async def test(model: Model, batcher: Batcher) -> None:
        first = await begun(model, batcher)
        second = asyncio.create_task(batcher.submit(rows("second")))
        await waiting(batcher, 1)
        closing = asyncio.create_task(asyncio.to_thread(batcher.close, 20))
        while batcher.alive:
            await asyncio.sleep(0.005)
        with pytest.raises(QueueFull):
            await batcher.submit(rows("too late"))
        model.gate.set()
        assert [await first, await second] == [["FIRST"], ["SECOND"]]
        await closing

    run(test)
