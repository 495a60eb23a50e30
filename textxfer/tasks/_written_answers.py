"""Question answering by a model that writes the answer, word by word, instead of pointing at it in the context."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from textxfer.data.encode import encode_windows, flatten, joined
from textxfer.labels import LabelSet
from textxfer.records import Batch, Encoded, Predictions, Table
from textxfer.tasks import _spans
from textxfer.tasks._arrays import as_numpy
from textxfer.tasks.question_answering import QuestionAnswering

if TYPE_CHECKING:
    import datasets
    import numpy as np
    import torch


class WrittenAnswers(QuestionAnswering):
    """Answers that are written (T5's form of SQuAD, Raffel et al. 2020, appendix D); see `QuestionAnswering`.

    Each window of a long context gets the answer that is written for it, greedily, and the probability that just this
    is written; the most probable answer counts. Nothing is written where there is no answer.
    """

    auto_class: ClassVar[str] = "AutoModelForSeq2SeqLM"
    outputs: ClassVar[tuple[str, ...]] = ("tokens", "scores", "null")
    prompts: tuple[str, str] = ("question: ", " context:")
    _tokenizer: Any = None

    def encode(self, rows: datasets.Dataset | Table, tokenizer: Any, labels: LabelSet | None) -> Encoded:
        """Tokenises prompts and questions with windows of their contexts; the words of an answer are the targets."""
        self._tokenizer = tokenizer  # answers come as tokens
        before, between = self.prompts
        questions = [f"{before}{question}{between}" for question in rows["question"][:]]
        whole = encode_windows(tokenizer, questions, rows["context"][:], max_length=self.max_length, stride=self.stride)
        if "answers" not in rows.column_names:
            return joined(tokenizer, whole)
        answers = rows["answers"][:]
        written = self._written(_spans.targets(whole, answers)[:, 1] > 0, whole.rows.tolist(), answers)
        targets, offsets = flatten(written, "int64")
        return replace(joined(tokenizer, whole), targets=targets, target_offsets=offsets)

    def _written(self, found: np.ndarray, rows: Sequence[int], answers: Sequence[Mapping[str, Any]]) -> list[list[int]]:
        """Gives the tokens to write for each window: the first reference's, or none, and the end token.

        A reference that is too long has no end.
        """
        texts = [answers[row]["text"][0] if here else "" for here, row in zip(found, rows, strict=True)]
        ids = self._tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else []
        end = self._tokenizer.eos_token_id
        return [[*tokens, end][: self.max_answer_length] for tokens in ids]

    def loss(
        self, output: Any, batch: Batch, *, label_smoothing: float = 0.0, weights: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Gives the cross-entropy of the answer's tokens, summed over them and over windows; see `Task.loss`.

        A share of smoothing is spread over all tokens of the vocabulary.
        """
        from textxfer.modeling.language_model import token_losses

        assert batch.targets is not None
        each = token_losses(output.logits, batch.targets, label_smoothing)
        return each.sum() if weights is None else weights @ each

    def reduce(self, output: Any, batch: Batch, encoded: Encoded) -> Mapping[str, np.ndarray]:
        """Keeps the tokens that were written for each window, their probability and that of writing nothing."""
        import numpy as np

        tokens = as_numpy(output.tokens)
        wide = np.full((len(tokens), self.max_answer_length), self._tokenizer.pad_token_id, dtype=np.int64)
        wide[:, : tokens.shape[1]] = tokens
        return {"tokens": wide, "scores": as_numpy(output.scores), "null": as_numpy(output.null)}

    def decode(self, reduced: Mapping[str, Any], encoded: Encoded, rows: datasets.Dataset | Table) -> Predictions:
        """Chooses the most probable of the answers to each question; see `Task.decode`."""
        import numpy as np

        contexts = rows["context"][:]
        texts = [text.strip() for text in self._tokenizer.batch_decode(reduced["tokens"], skip_special_tokens=True)]
        best: list[tuple[float, str]] = [(0.0, "")] * len(contexts)
        null = np.ones(len(contexts))
        for number, row in enumerate(encoded.rows.tolist()):
            null[row] = min(null[row], float(reduced["null"][number]))
            if texts[number]:
                best[row] = max(best[row], (float(reduced["scores"][number]), texts[number]))
        for row, (score, text) in enumerate(best):
            if not text or (self.unanswerable and null[row] > score):
                best[row] = (float(null[row]), "")
        spans = [_place(text, context) for (_, text), context in zip(best, contexts, strict=True)]
        references = None
        if "answers" in rows.column_names:
            references = [answer["text"] for answer in rows["answers"][:]]
        return Predictions(
            rows["id"][:] if "id" in rows.column_names else [str(number) for number in range(len(rows))],
            [text for _, text in best],
            references,
            scores=np.array([score for score, _ in best]),
            spans=np.array(spans, dtype=np.int64).reshape(-1, 2),
        )

    def settings(self) -> dict[str, Any]:
        """Gives what an extractive task does, and the prompts."""
        return super().settings() | {"prompts": list(self.prompts)}


def _place(answer: str, context: str) -> tuple[int, int]:
    """Gives where an answer stands first in its context: 0, 0 where there is none, -1, -1 where it stands nowhere."""
    lower = context.lower()
    begin = context.find(answer)
    if begin < 0 and len(lower) == len(context):
        begin = lower.find(answer.lower())
    return (-1, -1) if begin < 0 else (begin, begin + len(answer))
