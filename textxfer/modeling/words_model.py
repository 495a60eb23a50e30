"""`WordsModel`: a model that writes, as a classifier: how probable it is that it writes each label's words.

The text-to-text form of T5 (Raffel et al. 2020, section 2.4), but that no text is written which then might be no label:
log P(words | text) is computed for every label, and the labels share it out (softmax). The encoder reads a text once;
the decoder reads all words at once, as a tree.

Letters in shapes: B texts, T tokens of the longest, C labels, L tokens of the longest words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from textxfer.labels import LabelSet
from textxfer.modeling.anatomy import at_depths
from textxfer.modeling.build import Built
from textxfer.modeling.checkpoint import Checkpoint
from textxfer.modeling.label_words import LabelWords
from textxfer.modeling.language_model import token_losses
from textxfer.modeling.word_tree import grow
from textxfer.modeling.writer import MOST_LOGITS, Writer, build_writer
from textxfer.records import UNPREDICTED

if TYPE_CHECKING:
    from textxfer.records import Batch


class WordsModel(Writer):
    """Gives log P(words | text) of every label, divided by a temperature, as logits; called like a stock classifier.

    Args:
        model: Stock, with its language-model head; it is what is trained and saved.
        words: Of the labels.
        temperature: Divides the logits; it cannot be folded into weights, since no layer gives the logits.
    """

    read: torch.Tensor
    written: torch.Tensor
    places: torch.Tensor

    def __init__(self, model: Any, words: LabelWords, temperature: float = 1.0) -> None:
        super().__init__(model)
        self.words, self.temperature = words, temperature
        start = model.config.decoder_start_token_id
        groups, trees = zip(*grow(words.tokens, start), strict=True)
        self.trees = nn.ModuleList(trees)
        width = max(map(len, words.tokens))
        read = [_wide([start, *tokens[:-1]], width, model.config.pad_token_id) for tokens in words.tokens]
        written = [_wide(tokens, width, UNPREDICTED) for tokens in words.tokens]
        places = torch.tensor([place for group in groups for place in group]).argsort()
        for name, values in (("read", torch.tensor(read)), ("written", torch.tensor(written)), ("places", places)):
            self.register_buffer(name, values, persistent=False)

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, references: torch.Tensor | None = None
    ) -> Any:
        """Gives a stock classifier's output; its logits are (B, C), or (B, 1) where references are given.

        Args:
            input_ids: (B, T), padded on the right.
            attention_mask: 1 on tokens (B, T).
            references: Label ids (B,): each text's words are scored for this label only, as training asks for.
        """
        from transformers.modeling_outputs import SequenceClassifierOutput

        if references is not None:
            scores = self._of_references(references, input_ids=input_ids, attention_mask=attention_mask)
        else:
            states = self.model.get_encoder()(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
            columns = [self._of_tree(tree, states, attention_mask) for tree in self.trees]
            scores = torch.cat(columns, dim=1)[:, self.places]
        return SequenceClassifierOutput(logits=scores / self.temperature)

    def _of_references(self, references: torch.Tensor, **inputs: torch.Tensor) -> torch.Tensor:
        output = self.model(**inputs, decoder_input_ids=self.read[references], use_cache=False)
        return -token_losses(output.logits, self.written[references])[:, None]

    def _of_tree(self, tree: Any, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Gives the scores of the labels of a tree, of as many texts at a time as there is room for."""
        model: Any = at_depths(self.model, tree.depths)
        size = max(MOST_LOGITS // (len(tree.tokens) * self.config.vocab_size), 1)
        whole = torch.compiler.is_exporting()  # a graph is for batches of any size
        pieces = [(states, mask)] if whole else zip(states.split(size), mask.split(size), strict=True)
        found = []
        for part, part_mask in pieces:
            output = model(
                encoder_outputs=(part,),
                attention_mask=part_mask,
                decoder_input_ids=tree.tokens.expand(part.shape[0], -1),
                decoder_attention_mask=tree.mask,
                use_cache=False,
            )
            found.append(tree.scores(output.logits))
        return torch.cat(found)

    def settings(self) -> dict[str, Any]:
        """Gives the labels' words and the temperature; see `Writer.settings`."""
        id2label = self.config.id2label
        words = {id2label[number]: text for number, text in enumerate(self.words.texts)}
        return {"words": words, "temperature": self.temperature}


def build_words(
    checkpoint: Checkpoint,
    labels: LabelSet,
    words: LabelWords,
    *,
    temperature: float = 1.0,
    dropout: float | None = None,
    seed: int = 0,
) -> Built:
    """Loads a checkpoint's weights, fp32, as a model that writes the words of labels.

    Args:
        checkpoint: Of a family that writes.
        labels: In the order of their ids.
        words: Of the labels.
        temperature: Divides the logits.
        dropout: Replaces all dropout rates.
        seed: Of new parameters; there are none where the checkpoint was pretrained as it ought to be.

    Raises:
        CheckpointError: See `modeling.build.build`.
    """
    built = build_writer(checkpoint, labels, dropout=dropout, seed=seed)
    return replace(built, model=WordsModel(built.model, words, temperature))


def words_loss(
    output: Any,
    batch: Batch,
    *,
    label_smoothing: float = 0.0,
    class_weights: torch.Tensor | None = None,
    weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """Gives the cross-entropy of the right label's words, summed over their tokens and over examples.

    That is maximum likelihood, as T5 is trained. The tokens are summed, not averaged: an average would weigh each label
    by the inverse of the length of its words. Weights and smoothing are as in `Task.loss`; a share of smoothing is
    spread over the words of all labels.

    Args:
        output: Of `WordsModel`, at temperature 1: with a column for each label, or for the right one alone.
        batch: With label ids as targets.
        label_smoothing: Takes a column for each label.
        class_weights: (C,).
        weights: (B,).
    """
    assert batch.targets is not None
    scores, targets = output.logits.float(), batch.targets
    right = scores[:, 0] if "references" in batch.others else scores.gather(1, targets[:, None])[:, 0]
    each = -(1 - label_smoothing) * (right if class_weights is None else right * class_weights[targets])
    if label_smoothing > 0:
        each = each - label_smoothing * (scores if class_weights is None else scores * class_weights).mean(dim=1)
    return each.sum() if weights is None else weights @ each


def _wide(values: Sequence[int], width: int, filler: int) -> list[int]:
    return [*values, *[filler] * (width - len(values))]
