"""How much a client may ask for, and for how long it may take to ask."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What a server takes.

    Attributes:
        body_bytes: Of a request's body.
        texts: In a request.
        characters: Of a text.
        waiting: Texts that wait for the model, of all requests together.
        requests: In progress at a time.
        waiting_bytes: Of the bodies of these, together.
        read_seconds: For a client to send the head of its request, again for the body, and again to take the answer.
        answer_seconds: From there to the answer.
    """

    body_bytes: int = 2 << 20
    texts: int = 256
    characters: int = 50_000
    waiting: int = 1024
    requests: int = 512
    waiting_bytes: int = 64 << 20
    read_seconds: float = 20.0
    answer_seconds: float = 30.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
                raise ValueError(f"{name} must be a number above 0, not {value!r}")
        for most, one in (("waiting", "texts"), ("waiting_bytes", "body_bytes")):
            if getattr(self, most) < getattr(self, one):
                what = f"{most} ({getattr(self, most)}) must be at least {one} ({getattr(self, one)})"
                raise ValueError(f"{what}: one request must fit in")
