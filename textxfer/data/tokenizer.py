"""`PlainTokenizer`: what tokenising needs of a tokenizer, with `transformers` or without it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import tokenizers


@dataclass(frozen=True)
class PlainTokenizer:
    """A tokenizer of the library `tokenizers`, and what its own file does not say.

    Cutting is a setting of the tokenizer, not of a call, so only one thread may use it at a time.

    Attributes:
        backend: Of the library.
        pad_token_id: What fills batches.
        unk_token_id: The unknown token, where there is one.
        special_ids: The tokens that no text may contain.
        segments: Whether the model is told which of two texts a token belongs to.
    """

    backend: tokenizers.Tokenizer
    pad_token_id: int
    unk_token_id: int | None
    special_ids: tuple[int, ...]
    segments: bool

    @classmethod
    def of(cls, tokenizer: Any) -> PlainTokenizer:
        """Gives the plain one behind a tokenizer of `transformers`; one that is plain stays as it is.

        Args:
            tokenizer: Plain, or as `modeling.checkpoint` makes it ready.
        """
        if isinstance(tokenizer, cls):
            return tokenizer
        return cls(
            tokenizer.backend_tokenizer,
            tokenizer.pad_token_id,
            tokenizer.unk_token_id,
            tuple(tokenizer.all_special_ids),
            "token_type_ids" in tokenizer.model_input_names,
        )

    def num_special_tokens(self, *, pair: bool) -> int:
        """Gives how many special tokens are put around a text, or around two."""
        return int(self.backend.num_special_tokens_to_add(pair))

    def encode(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        *,
        max_length: int | None = None,
        stride: int = 0,
        cut: Literal["longest_first", "only_second"] = "longest_first",
        add_special_tokens: bool = True,
    ) -> list[Any]:
        """Tokenises so that special tokens written in a text ("[SEP]", "<|endoftext|>") stay plain text.

        Args:
            texts: R texts.
            pairs: R second texts, or None.
            max_length: In tokens, special ones counted; longer ones are cut. Default: none is.
            stride: Tokens that what is cut off shares with what is left.
            cut: Which of two texts is cut.
            add_special_tokens: Whether to.

        Returns:
            R encodings of the library; each has what was cut off under `overflowing`.
        """
        backend = self.backend
        backend.no_padding()
        if max_length is None:
            backend.no_truncation()
        else:
            backend.enable_truncation(max_length, stride=stride, strategy=cut, direction="right")
        backend.encode_special_tokens = True
        inputs = list(texts) if pairs is None else list(zip(texts, pairs, strict=True))
        encodings: list[Any] = backend.encode_batch(inputs, add_special_tokens=add_special_tokens)
        return encodings
