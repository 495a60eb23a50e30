"""The section `hub` of a recipe: where the finished model goes."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from textxfer.recipe.hub_names import language_code, reference_name, repo_name
from textxfer.recipe.sections import _one_or_many, _unique
from textxfer.section import Section

_TEXTS = WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]})
Text = Annotated[str, Field(min_length=1)]
Texts = Annotated[tuple[Text, ...], BeforeValidator(_one_or_many), AfterValidator(_unique), _TEXTS]
Languages = Annotated[
    tuple[Annotated[str, AfterValidator(language_code)], ...],
    BeforeValidator(_one_or_many),
    AfterValidator(_unique),
    _TEXTS,
]


class Hub(Section):
    """Where the finished model goes on the Hugging Face Hub, and what its card says there.

    The token is taken from HF_TOKEN or the last `hf auth login`; a recipe has no place for it.
    """

    repo: Annotated[str, AfterValidator(repo_name)] | None = None
    """The model is pushed to this repository, `user/name`, when the run has finished; name and rights are checked
    before training. Default: it is not pushed, and `textxfer push` can do it later."""
    private: bool = False
    """Whether only its owner sees a repository that is made for it."""
    revision: Annotated[str, AfterValidator(reference_name)] | None = None
    """Branch to push to; it is made where it is not there. Default: `main`."""
    license: Text | None = None
    """License of the model, by the Hub's identifiers: `apache-2.0`, `mit`, `cc-by-4.0`."""
    language: Languages = ()
    """Code of the texts' language, or several: `en`, `[en, de]`."""
    tags: Texts = ()
    """Words to find the model by."""
