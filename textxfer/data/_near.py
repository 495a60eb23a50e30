"""Pairs of texts that are nearly equal, found without comparing each with each.

A text is the set of its pieces of five characters, white space left out, and two texts are as alike as the Jaccard
similarity of their sets (Broder 1997). MinHash signatures (`datasketch`), cut into bands, bring together those that
may be alike (locality-sensitive hashing, as Lee et al. 2021, arXiv:2107.06499, clean training texts); each such pair is
then measured on the pieces themselves, so that chance in the signatures can hide a pair but not make one.

The bands are compared here and not in `datasketch.MinHashLSH`, which takes several kilobytes a text and gives all
pairs of a bucket: a hundred thousand texts from one template would be five billion.

Letters in shapes: N texts, P values of a signature, M pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

THRESHOLD = 0.8
"""Jaccard similarity from which on two texts are nearly equal."""
PIECE = 5
"""Characters of a piece; shorter texts are nearly equal to none."""
BANDS, BAND = 12, 5
"""Bands of a signature, and values of a band: a pair of similarity 0.8 is found with a chance of 99.1 %, one of 0.9
always, and one of 0.3 is measured in vain once in 35 times."""
NEIGHBOURS = 3
"""A text is paired with so many texts before it in its bucket, and with as many at the bucket's begin."""
PIECES_IN_ALL = 100_000_000
LEAST_PIECES, MOST_PIECES = 128, 10_000
"""Pieces kept of a text: those with the lowest hashes, which are a fair sample; fewer where there are many texts."""
TEXTS_AT_A_TIME = 1000
PAIRS_AT_A_TIME = 20_000
HASHES = 2**31 - 1
FACTORS = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93, 0xFF51AFD7ED558CCD)
"""Odd numbers without a pattern, one for each character of a piece."""


@dataclass(frozen=True)
class Pairs:
    """M pairs of nearly equal texts.

    Attributes:
        first, second: Places of the two texts (M,); first < second.
        similarity: Jaccard similarity of their pieces (M,), 0.8 to 1.
    """

    first: np.ndarray
    second: np.ndarray
    similarity: np.ndarray


def near_pairs(texts: Sequence[str], between: Callable[[float], None] | None = None) -> Pairs:
    """Finds the pairs of nearly equal texts among N different ones.

    Where very many texts are alike, each is paired with some of them only.

    Args:
        texts: N texts, no two of them equal, ready to compare (see `duplicates.plain`).
        between: Called often with the share that is done, 0 to 1; may raise to stop.
    """
    import numpy as np

    tell = between or (lambda share: None)
    most = min(max(PIECES_IN_ALL // max(len(texts), 1), LEAST_PIECES), MOST_PIECES)
    pieces, signatures = _signed(texts, most, lambda share: tell(0.6 * share))
    matrix = _as_matrix(pieces)
    keys = _candidates(signatures, np.flatnonzero(np.diff(matrix.indptr)), lambda share: tell(0.6 + 0.2 * share))
    return _measured(matrix, keys, lambda share: tell(0.8 + 0.2 * share))


def _signed(texts: Sequence[str], most: int, tell: Callable[[float], None]) -> tuple[list[np.ndarray], np.ndarray]:
    """Gives the pieces of each text, as sorted hashes, and the signatures (N, P) uint32."""
    import numpy as np
    from datasketch import MinHash

    pieces: list[np.ndarray] = []
    signatures = np.zeros((len(texts), BANDS * BAND), dtype=np.uint32)

    def hashes() -> Iterator[list[int]]:
        for start in range(0, len(texts), TEXTS_AT_A_TIME):
            tell(start / len(texts))
            for own in _pieces(texts[start : start + TEXTS_AT_A_TIME]):
                pieces.append(own[:most])
                yield pieces[-1].tolist()

    # The pieces are hashed already, all of a thousand texts at once, so that `int` is all that is left to do.
    for place, minhash in enumerate(MinHash.generator(hashes(), num_perm=BANDS * BAND, hashfunc=int)):
        signatures[place] = minhash.hashvalues
    return pieces, signatures


def _pieces(texts: Sequence[str]) -> Iterator[np.ndarray]:
    """Gives the sorted hashes of each text's pieces, each once, as int32."""
    import numpy as np

    bare = ["".join(text.split()) for text in texts]
    characters = np.frombuffer("".join(bare).encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    count = max(len(characters) - PIECE + 1, 0)
    mixed = np.zeros(count, dtype=np.uint64)
    for place, factor in enumerate(FACTORS):
        mixed += characters[place : place + count] * np.uint64(factor)
    hashes = ((mixed ^ (mixed >> np.uint64(29))) % np.uint64(HASHES)).astype(np.int32)
    start = 0
    for text in bare:
        yield np.unique(hashes[start : max(start + len(text) - PIECE + 1, start)])
        start += len(text)


def _as_matrix(pieces: list[np.ndarray]) -> Any:
    """Gives the sets of pieces as rows of ones in a sparse matrix."""
    import numpy as np
    from scipy.sparse import csr_matrix

    offsets = np.concatenate([[0], np.cumsum([len(own) for own in pieces])])
    places = np.concatenate([*pieces, np.zeros(0, np.int32)])
    return csr_matrix((np.ones(len(places), np.int32), places, offsets), shape=(len(pieces), HASHES))


def _candidates(signatures: np.ndarray, there: np.ndarray, tell: Callable[[float], None]) -> np.ndarray:
    """Gives the pairs that share a band, each as first * N + second (M,), sorted.

    Args:
        signatures: Of all texts (N, P).
        there: Places of the texts that have pieces, ascending.
        tell: Called with the share that is done.
    """
    import numpy as np

    found = np.zeros(0, dtype=np.int64)
    place = np.arange(len(there))
    for band in range(BANDS):
        tell(band / BANDS)
        values = np.ascontiguousarray(signatures[there, band * BAND : (band + 1) * BAND])
        whole = values.view(np.dtype((np.void, values.dtype.itemsize * BAND))).ravel()
        bucket = np.unique(whole, return_inverse=True)[1]
        order = np.argsort(bucket, kind="stable")
        bucket, members = bucket[order], there[order].astype(np.int64)
        begin = np.searchsorted(bucket, bucket)
        keys = [found]
        for step in range(NEIGHBOURS):
            for other in (place - 1 - step, begin + step):
                own = (other >= begin) & (other < place)
                keys.append(members[other[own]] * len(signatures) + members[own])
        found = np.unique(np.concatenate(keys))
    return found


def _measured(matrix: Any, keys: np.ndarray, tell: Callable[[float], None]) -> Pairs:
    """Gives those of the candidates that are as alike as they must be."""
    import numpy as np

    sizes = np.diff(matrix.indptr)
    first, second = np.divmod(keys, max(len(sizes), 1))
    similarity = np.zeros(len(keys))
    for start in range(0, len(keys), PAIRS_AT_A_TIME):
        tell(start / len(keys))
        part = slice(start, start + PAIRS_AT_A_TIME)
        one, other = first[part], second[part]
        shared = np.asarray(matrix[one].multiply(matrix[other]).sum(axis=1)).ravel()
        similarity[part] = shared / (sizes[one] + sizes[other] - shared)
    near = similarity >= THRESHOLD
    return Pairs(first[near], second[near], similarity[near])
