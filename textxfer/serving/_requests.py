"""What `POST /predict` takes and gives, as schemas; and what is said of a body that does not fit them."""

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)
from pydantic.config import JsonDict
from pydantic_core import PydanticCustomError, ValidationError

from textxfer.errors import shortened
from textxfer.evaluation.conformal import LEAST_COVERAGE
from textxfer.serving._batcher import Options, Row
from textxfer.serving._limits import Limits

# Pydantic finds the types below by their names in the functions that make them, so annotations must be no texts here:
# no `from __future__ import annotations`.

MOST_LINES = 10
WORDS = {
    "missing": "is missing",
    "extra_forbidden": "there is no such field",
    "string_type": "must be a text",
    "string_unicode": "is not valid Unicode; decode it anew",
    "string_too_long": "has more than {max_length:,} characters",
    "too_long": "has more than {max_length:,} items; send fewer at a time",
    "too_short": "is empty",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "dict_type": "must be an object",
    "finite_number": "must be a number",
    "float_type": "must be a number",
    "greater_than_equal": "must be {ge} or more",
    "less_than_equal": "must be {le} or less",
    "less_than": "must be below {lt}",
}


class Strict(BaseModel):
    """A part of a request: no unknown fields, no value of another type."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)


class Request(Strict):
    """The body of a request."""

    def rows(self) -> list[Row]:
        """Gives its texts as the pipeline takes them."""
        raise NotImplementedError

    def options(self) -> Options:
        """Gives the keyword arguments of the pipeline."""
        return ()


class Scored(BaseModel):
    """A label and its probability."""

    label: str | None = Field(description="null where the best label is less probable than `min_confidence`")
    score: float = Field(ge=0, le=1)


class Labels(BaseModel):
    """What the model says of one text."""

    labels: list[Scored] = Field(description="best first")


class LabelsResponse(BaseModel):
    """The labels of each text, in the order of the request."""

    predictions: list[Labels]


class Answer(BaseModel):
    """A span of the context."""

    answer: str = Field(description='"" where there is no answer')
    score: float = Field(ge=0, le=1)
    start: int = Field(
        ge=-1,
        description="of its first character; characters are Unicode code points. -1, as `end`, where the answer was "
        "written by the model and stands nowhere in the context",
    )
    end: int = Field(ge=-1, description="one past its last character")


class AnswersResponse(BaseModel):
    """The answer to each question, in the order of the request."""

    predictions: list[Answer]


class Problem(BaseModel):
    """Why there is no answer."""

    errors: list[str] = Field(description="one mistake each: where it is, and what to do")


class Status(BaseModel):
    """How the server is."""

    status: Literal["ok", "ready", "full", "stopping"]
    waiting: int = Field(ge=0, description="texts that wait for the model")


def _tag(value: Any) -> str | None:
    """Gives the kind of an input; no field has such a name, so that it can be left out of messages."""
    kinds: dict[type, str] = {str: "=text", dict: "=one", list: "=many"}
    return kinds.get(type(value))


def _either(words: str) -> Discriminator:
    return Discriminator(_tag, custom_error_type="form", custom_error_message=words)


def _top_k(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    try:
        return check(int(value) if isinstance(value, float) and value.is_integer() else value)  # JSON's 1.0 is 1
    except ValidationError:
        raise PydanticCustomError("top_k", 'must be a whole number from 1 on, null for all labels, or "set"') from None


def _texts(limits: Limits) -> Any:
    """Makes the type of what a model of labels reads: texts, or pairs of them."""
    text_type = Annotated[str, Field(max_length=limits.characters)]

    class TextPair(Strict):
        """Two texts that are read together."""

        text: text_type
        text_pair: text_type | None = None

    one = Annotated[text_type, Tag("=text")] | Annotated[TextPair, Tag("=one")]
    item = Annotated[one, _either("must be a text, or an object with text and text_pair")]
    many = Annotated[list[item], Field(min_length=1, max_length=limits.texts), Tag("=many")]
    form = _either("must be a text, an object with text and text_pair, or a list of these")
    told = Field(description="a text, a pair of texts, or a list: all texts or all pairs")
    return Annotated[Annotated[one | many, form], told]


def _pairs(limits: Limits) -> Any:
    """Makes the type of what a model reads that was trained on pairs of texts."""
    text_type = Annotated[str, Field(max_length=limits.characters)]
    why = "for the model labels pairs of texts"

    class TextPair(Strict):
        """Two texts that are read together."""

        text: text_type
        text_pair: text_type

        @model_validator(mode="before")
        @classmethod
        def _is_pair(cls, value: Any) -> Any:
            if not isinstance(value, dict) or value.get("text_pair") is None:
                raise PydanticCustomError("pair", f"must be an object with text and text_pair, {why}")
            return value

    many = Annotated[list[TextPair], Field(min_length=1, max_length=limits.texts), Tag("=many")]
    form = _either(f"must be an object with text and text_pair, or a list of these, {why}")
    told = Field(description="a pair of texts, or a list of them")
    return Annotated[Annotated[Annotated[TextPair, Tag("=one")] | many, form], told]


def text_request(limits: Limits, pairs: bool | None = None) -> type[Request]:
    """Makes the request of a model of labels.

    Args:
        limits: What it takes.
        pairs: Whether the model labels pairs, and so takes no single texts.
    """
    inputs = _pairs(limits) if pairs else _texts(limits)
    one: JsonDict = {"text": "Who came?", "text_pair": "Nobody came but Ann."}
    example: JsonDict = {"texts": one} if pairs else {"texts": ["a delight", "rude"], "top_k": 2}
    top_k_type = Annotated[Annotated[int, Field(ge=1)] | Literal["set"] | None, WrapValidator(_top_k)]

    class TextsRequest(Request):
        """Texts to label, and how."""

        model_config = ConfigDict(json_schema_extra={"examples": [example]})

        texts: inputs  # type: ignore[valid-type]
        top_k: top_k_type = Field(
            1, description='how many labels of each text, best first; null: all; "set": those that the model chooses'
        )
        min_confidence: float | None = Field(
            None, ge=0, le=1, allow_inf_nan=False, description="the best label is null where it is less probable"
        )
        coverage: float | None = Field(
            None,
            ge=LEAST_COVERAGE,
            lt=1,
            allow_inf_nan=False,
            description="label sets that hold the right label in this share of texts; for calibrated models",
        )

        @model_validator(mode="after")
        def _alike(self) -> Self:
            if len({len(row) for row in self.rows()}) > 1:
                words = "texts: some have a text_pair and some have none; send a request for each kind"
                raise PydanticCustomError("mixed", words)
            return self

        def rows(self) -> list[Row]:
            given: Any = self.texts
            texts = given if isinstance(given, list) else [given]
            return [{"text": each} if isinstance(each, str) else each.model_dump(exclude_none=True) for each in texts]

        def options(self) -> Options:
            return (("top_k", self.top_k), ("min_confidence", self.min_confidence), ("coverage", self.coverage))

    return TextsRequest


def question_request(limits: Limits) -> type[Request]:
    """Makes the request of a model of answers."""
    text_type = Annotated[str, Field(max_length=limits.characters)]

    class Question(Strict):
        """A question, and the passage to find its answer in."""

        question: text_type
        context: text_type

    many = Annotated[list[Question], Field(min_length=1, max_length=limits.texts), Tag("=many")]
    form = _either("must be an object with question and context, or a list of these")
    inputs = Annotated[Annotated[Question, Tag("=one")] | many, form]
    example: JsonDict = {"question": "Who came?", "context": "Nobody came but Ann."}

    class QuestionsRequest(Request):
        """Questions to answer."""

        model_config = ConfigDict(json_schema_extra={"examples": [{"questions": example}]})

        questions: inputs = Field(description="a question with its context, or a list of these")

        def rows(self) -> list[Row]:
            asked = self.questions if isinstance(self.questions, list) else [self.questions]
            return [each.model_dump() for each in asked]

    return QuestionsRequest


def mistakes(errors: Iterable[Mapping[str, Any]], fields: Callable[[], Iterable[str]]) -> list[str]:
    """Gives a line for each mistake that pydantic found in a body; `fields` names those there are."""
    lines = []
    for error in errors:
        where = ""
        for part in error["loc"][1:]:
            if isinstance(part, int):
                where += f"[{part}]"
            elif not str(part).startswith("="):
                where += f"{'.' if where else ''}{part:.80}"
        ours = WORDS.get(error["type"])
        words = ours.format(**error.get("ctx", {})) if ours is not None else error["msg"]
        if error["type"] == "extra_forbidden" and len(error["loc"]) == 2:
            words += f" (there are: {', '.join(fields())})"
        lines.append(f"{where or 'the body'}: {words}" if error["type"] != "mixed" else words)
    return [line.encode("utf-8", "backslashreplace").decode() for line in shortened(lines, MOST_LINES)]
