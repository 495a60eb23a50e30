"""The page to try a model on, in a browser: what people see, type and hear."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import textxfer
from tests.trained import questions

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")

from tests.unit.serving.http import Marker, Served, served, until
from textxfer.serving._limits import Limits

SCRIPT = "<script>document.title = 'taken'</script><img src=x onerror=\"document.title = 'taken'\">"
WIDTHS = [320, 375, 1280]


class Many(Marker):
    """Twelve labels of odd names; two of them apply."""

    names = ("a delight", SCRIPT, "\u202eturned\u2067", "w" * 80, *(f"label {number}" for number in range(8)))

    def __call__(self, rows: Any, top_k: Any = 1, **options: Any) -> Any:  # type: ignore[override]
        super().__call__(rows)
        labels = [{"label": name, "score": 0.9 / 2**place} for place, name in enumerate(self.names)]
        return [labels[:2] if top_k == "set" else labels[:top_k] for _ in rows]


@pytest.fixture(scope="module")
def reviews(trained: Any) -> Iterator[Served]:
    with served(textxfer.pipeline(trained("bert")), name="reviews") as running:
        yield running


@pytest.fixture(scope="module")
def answers(trained: Any) -> Iterator[Served]:
    with served(textxfer.pipeline(trained("bert", "question_answering")), name="library") as running:
        yield running


@pytest.fixture
def visit_served(visit: Callable[..., Any]) -> Callable[..., Any]:
    """Opens a server's page."""

    class Address:
        def __init__(self, running: Served) -> None:
            self.running = running

        def as_uri(self) -> str:
            return self.running.url + "/"

    return lambda running, *more, **settings: visit(Address(running), *more, **settings)


def predict(page: Any, text: str, heading: str = "Text") -> None:
    page.get_by_label(heading, exact=True).fill(text)
    page.get_by_role("button", name="Predict").click()
    page.locator("#found").locator(".bar").first.wait_for()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_opens_without_a_complaint_and_fits(visit_served: Any, width: int, scheme: str) -> None:
    with served(Many(), name="a-model-of-a-rather-long-name" * 3, token="t") as running:
        tab = visit_served(running, width, scheme)
        assert tab.asked == [running.url + "/"]
        tab.page.get_by_label("Access token").fill("t")
        predict(tab.page, "w" * 3000)
        tab.page.get_by_role("button", name="Show all 12 labels").click()
        tab.page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
        assert tab.page.evaluate("document.documentElement.scrollWidth") == width
        assert tab.said == []
        assert set(tab.asked) == {running.url + "/", running.url + "/predict"}


def test_labels_are_shown_best_first_with_bars(visit_served: Any, reviews: Served) -> None:
    page = visit_served(reviews).page
    predict(page, "the film was a delight")
    expected = reviews.predict("the film was a delight", top_k=None).json()["predictions"][0]["labels"]
    shares = [f"{each['score'] * 100:.1f} %" for each in expected]
    assert page.locator(".labels .label").all_inner_texts() == [each["label"] for each in expected]
    assert page.locator(".labels .share").all_inner_texts() == shares
    wide = page.eval_on_selector_all(".bar span", "all => all.map(one => one.style.width)")
    assert [float(width.removesuffix("%")) for width in wide] == [
        pytest.approx(each["score"] * 100, abs=0.01) for each in expected
    ]
    assert page.locator(".label.chosen").all_inner_texts() == [expected[0]["label"]]
    said = page.get_by_role("status").text_content()
    assert said.startswith(f"{expected[0]['label']}, {shares[0]}. Answered in "), "it is read aloud"


def test_a_second_text_counts(visit_served: Any, reviews: Served) -> None:
    page = visit_served(reviews).page
    page.get_by_text("Add a second text").click()
    page.get_by_label("Second text").fill("the soup came cold")
    predict(page, "the film")
    pair = {"text": "the film", "text_pair": "the soup came cold"}
    [one] = reviews.predict(pair).json()["predictions"]
    assert page.locator(".share").first.inner_text() == f"{one['labels'][0]['score'] * 100:.1f} %"


def test_a_model_of_pairs_asks_for_both_texts(visit_served: Any, trained: Any) -> None:
    pipe = textxfer.pipeline(trained("bert", "topic"))
    with served(pipe, name="pairs") as running:
        tab = visit_served(running)
        page = tab.page
        page.get_by_label("First text").fill("the film")
        page.get_by_role("button", name="Predict").click()
        assert page.get_by_role("alert").inner_text() == "Second text is empty."
        page.get_by_label("Second text").fill("the soup came cold")
        predict(page, "the film", "First text")
        [best, *_] = pipe({"text": "the film", "text_pair": "the soup came cold"}, top_k=None)  # type: ignore[call-arg]
        assert page.locator(".share").first.inner_text() == f"{best['score'] * 100:.1f} %"
        assert tab.said == []


def test_an_answer_is_marked_in_its_context(visit_served: Any, answers: Served) -> None:
    row = questions()[0]
    context = f"😀👍🏽 {SCRIPT} {row['context']}"
    page = visit_served(answers).page
    page.get_by_label("Question").fill(row["question"])
    page.get_by_role("textbox", name="Context").fill(context)
    page.get_by_role("button", name="Find the answer").click()
    page.locator(".context").wait_for()
    asked = {"questions": {"question": row["question"], "context": context}}
    [one] = answers.client.post("/predict", json=asked).json()["predictions"]
    assert one["answer"]
    assert page.locator("mark").text_content() == one["answer"] == page.locator(".answer").text_content()
    assert page.locator(".context").text_content() == context
    assert page.title() == "library · textxfer"
    page.get_by_label("Question").fill("when " * 60)
    page.get_by_role("textbox", name="Context").fill("x")
    page.get_by_role("button", name="Find the answer").click()
    until(lambda: page.locator(".context").text_content() == "x")


def test_the_keyboard_is_enough(visit_served: Any, reviews: Served) -> None:
    page = visit_served(reviews).page
    page.keyboard.type("the waiter was rude")  # the text has the focus from the start
    page.keyboard.press("Control+Enter")
    page.locator(".labels").wait_for()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.tagName") == "SUMMARY"
    page.keyboard.press("Tab")
    page.locator("#found").evaluate("one => one.replaceChildren()")
    page.keyboard.press("Enter")
    page.locator(".labels").wait_for()
    assert page.get_by_role("heading", level=1).inner_text() == "reviews"
    unnamed = page.eval_on_selector_all(
        "input, textarea", "all => all.filter(one => one.labels.length !== 1).map(one => one.id)"
    )
    assert unnamed == []


def test_many_labels_unfold(visit_served: Any) -> None:
    with served(Many()) as running:
        page = visit_served(running).page
        predict(page, "x")
        assert page.locator(".labels li:visible").count() == 8
        page.get_by_role("button", name="Show all 12 labels").click()
        assert page.locator(".labels li:visible").count() == 12
        assert page.evaluate("document.activeElement.tagName") == "LI"
        assert page.locator(".label.chosen").count() == 2
        assert page.locator(".labels .label").nth(1).text_content() == SCRIPT
        assert page.locator("script").count() == 1
        assert page.locator("img").count() == 0
        assert "taken" not in page.title()


def test_a_model_of_a_wicked_name(visit_served: Any) -> None:
    with served(Marker(), name=SCRIPT) as running:
        page = visit_served(running).page
        assert page.locator("h1").text_content() == SCRIPT
        assert page.title() == f"{SCRIPT} · textxfer"
        predict(page, SCRIPT)
        assert page.locator("script").count() == 1


def test_only_the_server_itself_can_be_asked(visit_served: Any, reviews: Served, answers: Served) -> None:
    tab = visit_served(reviews)
    outcome = tab.page.evaluate(f"fetch('{answers.url}/health').then(() => 'came', error => error.name)")
    assert outcome == "TypeError"
    assert any("Content Security Policy" in line for line in tab.said)
    tab.page.evaluate("document.body.append(Object.assign(document.createElement('script'), {text: 'window.x = 1'}))")
    assert tab.page.evaluate("window.x") is None
    headers = reviews.client.get("/").headers
    assert "'unsafe" not in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"


def test_what_is_wrong_is_said_aloud(visit_served: Any) -> None:
    with served(Marker(), Limits(characters=10), token="open-sesame") as running:
        page = visit_served(running).page
        alert = page.get_by_role("alert")
        page.get_by_role("button", name="Predict").click()
        assert alert.inner_text() == "Text is empty."
        assert page.evaluate("document.activeElement.id") == "text"
        page.get_by_label("Text", exact=True).fill("long and longer")
        for token, message in (
            ("wrong", "this server wants its token: send the header `Authorization: Bearer TOKEN`"),
            ("open-sesame", "texts: has more than 10 characters"),
        ):
            page.get_by_label("Access token").fill(token)
            page.get_by_role("button", name="Predict").click()
            until(lambda message=message: alert.is_visible() and alert.inner_text() == message)
        predict(page, "short")
        assert not alert.is_visible()
        assert "open-sesame" not in page.content()
    page.get_by_role("button", name="Predict").click()
    until(lambda: alert.is_visible())
    assert alert.inner_text() == "The server cannot be reached. Is it still running?"


def test_the_command_asks_the_same(visit_served: Any, reviews: Served) -> None:
    import subprocess

    page = visit_served(reviews).page
    text = 'it\'s a "delight" \\ $HOME `ls` \n😀'
    predict(page, text)
    command = page.locator("#command").text_content()
    done = subprocess.run(["sh", "-c", f"printf '%s' {command.partition('-d ')[2]}"], capture_output=True, check=True)
    answer = reviews.post(done.stdout)
    assert answer.json() == reviews.predict(text, top_k=None).json()
    assert command.startswith(f"curl {reviews.url}/predict -H 'Content-Type: application/json' ")
