"""`create_app`: a pipeline behind HTTP."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException

import textxfer
from textxfer.errors import TextxferError
from textxfer.serving import _requests
from textxfer.serving._batcher import Batcher, QueueFull
from textxfer.serving._guard import Guard, problem
from textxfer.serving._limits import Limits
from textxfer.serving._metrics import Metrics
from textxfer.serving._page import Page
from textxfer.serving.question_answerer import QuestionAnswerer
from textxfer.serving.text_classifier import TextClassifier

# FastAPI reads the annotations of functions within functions: no `from __future__ import annotations`.

WRONG = {
    400: "The body is no JSON.",
    401: "The token is missing or wrong.",
    408: "The body did not come in time.",
    413: "The body is too large.",
    415: "The body is of another type than application/json.",
    422: "The body does not fit the schema, or the model cannot do this.",
    500: "A mistake of the server's own.",
    503: "Too much to do; `Retry-After` says when to try again.",
    504: "There was no answer in time.",
}
OF_EVERY_PATH = (408, 413, 500, 503)


def create_app(
    pipe: TextClassifier | QuestionAnswerer,
    *,
    name: str = "model",
    limits: Limits | None = None,
    token: str | None = None,
    batch_texts: int = 32,
) -> FastAPI:
    """Makes the application that serves a pipeline; any ASGI server runs it.

    Args:
        pipe: As `textxfer.pipeline` gives it.
        name: Of the model, as it is shown.
        limits: What it takes. Default: those of `Limits`.
        token: That a request must name as `Authorization: Bearer TOKEN`. Default: none.
        batch_texts: Most texts of a call of the model.
    """
    limits = limits or Limits()
    # Bound to `metrics` when called: the two count each other.
    batcher = Batcher(
        _predict(pipe),
        most_waiting=limits.waiting,
        batch_rows=batch_texts,
        on_batch=lambda rows, seconds: metrics.batch(rows, seconds),
    )
    metrics = Metrics(lambda: batcher.waiting)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(batcher.close, limits.answer_seconds)

    app = FastAPI(
        title=f"textxfer: {name}",
        version=textxfer.__version__,
        summary=_summary(pipe),
        docs_url=None,  # those pages load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.state.batcher, app.state.metrics = batcher, metrics
    app.add_middleware(Guard, limits=limits, token=token, metrics=metrics)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(Exception, _broken)
    _add_predict(app, pipe, limits, secured=token is not None)
    _add_watching(app, secured=token is not None)
    labels, pairs = isinstance(pipe, TextClassifier), isinstance(pipe, TextClassifier) and bool(pipe.pairs)
    page = Page(name, "labels" if labels else "answers", pairs=pairs, secured=token is not None)
    app.add_api_route("/", page.response, include_in_schema=False)
    return app


def _summary(pipe: TextClassifier | QuestionAnswerer) -> str:
    if isinstance(pipe, QuestionAnswerer):
        return "Answers from contexts."
    return "Labels for pairs of texts." if pipe.pairs else "Labels for texts."


def _predict(pipe: TextClassifier | QuestionAnswerer) -> Any:
    """Gives a function whose results have the form of the response."""
    if isinstance(pipe, QuestionAnswerer):
        return pipe

    def labels(rows: list[Any], **options: Any) -> list[dict[str, Any]]:
        return [{"labels": [each] if isinstance(each, dict) else each} for each in pipe(rows, **options)]

    return labels


def _answers(model: Any, *statuses: int, secured: bool = False) -> dict[str, Any]:
    """Gives what a path's documentation says of its answers."""
    wrong = sorted({*OF_EVERY_PATH, *statuses, *([401] if secured else [])})
    problems = {status: {"model": _requests.Problem, "description": WRONG[status]} for status in wrong}
    dependencies = [Depends(HTTPBearer(auto_error=False))] if secured else []
    return {"response_model": model, "responses": problems, "dependencies": dependencies}


def _add_predict(app: FastAPI, pipe: TextClassifier | QuestionAnswerer, limits: Limits, secured: bool) -> None:
    request_type: Any
    response_type: Any
    if isinstance(pipe, TextClassifier):
        request_type, response_type = _requests.text_request(limits, pipe.pairs), _requests.LabelsResponse
    else:
        request_type, response_type = _requests.question_request(limits), _requests.AnswersResponse
    app.state.fields = tuple(request_type.model_fields)
    batcher: Batcher = app.state.batcher

    async def predict(body: request_type) -> Response:  # type: ignore[valid-type]
        """Predicts all inputs of a request; they may share a batch with those of others."""
        rows, options = body.rows(), body.options()  # type: ignore[attr-defined]
        try:
            pipe([], **dict(options))  # predicts nothing, but says what is wrong with the options
        except (TextxferError, ValueError) as error:
            return problem(422, *str(error).splitlines())
        try:
            async with asyncio.timeout(limits.answer_seconds):
                return JSONResponse({"predictions": await batcher.submit(rows, options)})
        except QueueFull as full:
            return problem(503, str(full), Retry_After=str(full.retry_after))
        except TimeoutError:
            return problem(
                504, f"no answer within {limits.answer_seconds:g} s; send less at a time, or try again later"
            )
        except TextxferError as error:
            return problem(422, *error.lines)

    documented = _answers(response_type, 400, 415, 422, 504, secured=secured)
    app.add_api_route("/predict", predict, methods=["POST"], **documented)


def _add_watching(app: FastAPI, secured: bool) -> None:
    batcher: Batcher = app.state.batcher
    metrics: Metrics = app.state.metrics

    async def health() -> _requests.Status:
        """Says that the server is there."""
        return _requests.Status(status="ok", waiting=batcher.waiting)

    async def ready() -> Response:
        """Says whether texts that come now would be taken; 503 where they would not."""
        status = "stopping" if not batcher.alive else "full" if batcher.full else "ready"
        told = _requests.Status(status=status, waiting=batcher.waiting)  # type: ignore[arg-type]
        return JSONResponse(told.model_dump(), 200 if status == "ready" else 503)

    async def told_metrics() -> Response:
        """Gives counts and times for Prometheus."""
        return Response(metrics.text(), media_type=metrics.content_type)

    app.add_api_route("/health", health, **_answers(_requests.Status))
    documented = _answers(_requests.Status)
    documented["responses"][503] = {"model": _requests.Status, "description": "Texts would not be taken."}
    app.add_api_route("/ready", ready, **documented)
    documented = _answers(None, secured=secured) | {"response_class": Response}
    documented["responses"][200] = {"content": {"text/plain": {}}, "description": "Prometheus' text format."}
    app.add_api_route("/metrics", told_metrics, name="metrics", **documented)


async def _invalid(request: Request, error: Exception) -> Response:
    """Answers a body that does not fit."""
    assert isinstance(error, RequestValidationError)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        return problem(415, f"the body must be application/json, not {kind or 'without a content-type'}")
    errors = error.errors()
    if errors[0]["type"] == "json_invalid":
        where = f"at character {errors[0]['loc'][-1]}"
        return problem(400, f"the body is no JSON: {errors[0]['ctx']['error']} {where}")
    return problem(422, *_requests.mistakes(errors, lambda: request.app.state.fields))


async def _refused(request: Request, error: Exception) -> Response:
    """Answers a path or a method that there is not, and a body that cannot be read as JSON."""
    assert isinstance(error, HTTPException)
    words = {
        400: "the body is no JSON in UTF-8",
        404: f"there is no {request.url.path[:200]}; POST to /predict",
        405: f"{request.url.path} does not take {request.method}",
    }
    answer = problem(error.status_code, words.get(error.status_code, str(error.detail)))
    answer.headers.update(error.headers or {})
    return answer


async def _broken(request: Request, error: Exception) -> Response:
    return problem(500, "a mistake of the server's own; its log says more")
