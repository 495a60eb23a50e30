"""`AnswersModel`: a model that writes an answer to what it reads, and says how probable just that answer is.

Letters in shapes: B texts, T tokens of the longest, L tokens of the longest answer, V of the vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from transformers.utils import ModelOutput

from textxfer.modeling.build import Built
from textxfer.modeling.checkpoint import Checkpoint
from textxfer.modeling.language_model import shifted
from textxfer.modeling.quiet import quiet_transformers
from textxfer.modeling.writer import MOST_LOGITS, Writer, build_writer


@dataclass
class Written(ModelOutput):  # type: ignore[misc]
    """What the model gives; None where it was not asked for.

    Attributes:
        logits: For the tokens of the references (B, L, V), each foretold from those before it.
        tokens: That were written (B, L), the end token and padding after them.
        scores: Probability of writing just these (B,).
        null: Probability of writing nothing (B,).
    """

    logits: torch.Tensor | None = None
    tokens: torch.Tensor | None = None
    scores: torch.Tensor | None = None
    null: torch.Tensor | None = None


class AnswersModel(Writer):
    """Writes greedily, one token at least; while it trains it foretells references only.

    Args:
        model: Stock, with its language-model head; it is what is trained and saved.
        longest: Most tokens of an answer, its end token counted.
    """

    def __init__(self, model: Any, longest: int) -> None:
        super().__init__(model)
        self.longest = longest

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, references: torch.Tensor | None = None
    ) -> Written:
        """Gives logits for references where there are any, and what is written where nothing is trained.

        Args:
            input_ids: (B, T), padded on the right.
            attention_mask: 1 on tokens (B, T).
            references: Token ids (B, L), -100 after each one's end token.
        """
        states = self.model.get_encoder()(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        logits = None
        if references is not None:
            logits = self.model(
                encoder_outputs=(states,),
                attention_mask=attention_mask,
                decoder_input_ids=shifted(references, self.config.decoder_start_token_id, self.config.pad_token_id),
                use_cache=False,
            ).logits
        if self.training:
            return Written(logits=logits)
        size = max(MOST_LOGITS // (self.longest * self.config.vocab_size), 1)
        pieces = zip(states.split(size), attention_mask.split(size), strict=True)
        tokens, scores, null = zip(*(self._write(part, mask) for part, mask in pieces), strict=True)
        return Written(logits, torch.cat(tokens), torch.cat(scores), torch.cat(null))

    def _write(self, states: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Gives tokens, their probability and that of the end token in their place."""
        from transformers.modeling_outputs import BaseModelOutput

        end = self.config.eos_token_id
        with quiet_transformers():
            written = self.model.generate(
                encoder_outputs=BaseModelOutput(last_hidden_state=states),
                attention_mask=mask,
                max_new_tokens=self.longest,
                min_new_tokens=2,  # what is written, and its end
                do_sample=False,
                num_beams=1,
                use_cache=True,
                eos_token_id=end,
                pad_token_id=self.config.pad_token_id,
                decoder_start_token_id=self.config.decoder_start_token_id,
                return_dict_in_generate=True,
                output_logits=True,
            )
        tokens = written.sequences[:, 1:]
        shares = torch.stack(written.logits, dim=1).float().log_softmax(dim=2)
        each = shares.gather(2, tokens[:, :, None])[:, :, 0]
        after_end = (tokens == end).cumsum(dim=1) - (tokens == end).long() > 0
        scores = each.masked_fill(after_end, 0).sum(dim=1).exp()
        wide = nn.functional.pad(tokens, (0, self.longest - tokens.shape[1]), value=self.config.pad_token_id)
        return wide, scores, shares[:, 0, end].exp()


def build_answers(checkpoint: Checkpoint, longest: int, *, dropout: float | None = None, seed: int = 0) -> Built:
    """Loads a checkpoint's weights, fp32, as a model that writes answers; see `modeling.writer.build_writer`.

    Args:
        checkpoint: Of a family that writes.
        longest: Most tokens of an answer, its end token counted.
        dropout: Replaces all dropout rates.
        seed: Of new parameters.
    """
    built = build_writer(checkpoint, dropout=dropout, seed=seed)
    return replace(built, model=AnswersModel(built.model, longest))
