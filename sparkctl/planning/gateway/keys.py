"""Keys of a gateway's clients: what is stored of a key, what it may do, and how often. Pure.

A key is 256 random bits, so a plain salted SHA-256 of it is stored: nobody can try 2^256 keys. A slow hash is meant for
secrets that people can remember, and would cost every request some 50 ms.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final, NamedTuple

PREFIX: Final = "sk-sparkctl-"
"""The beginning of every key: some clients require `sk-`, and a reader who finds one in a file sees what it is."""
KEY_BYTES: Final = 32
SALT_BYTES: Final = 16
MOST_NAME: Final = 64
LONGEST: Final = 512
"""The longest text that is checked as a key, in characters; ours have 76."""


@dataclass(frozen=True, slots=True)
class KeptKey:
    """What is kept of a key. ``salt`` and ``digest`` are hexadecimal; ``made_at`` is in seconds since the epoch.

    ``models`` are the names that it may ask for, () for all; ``may_start``: a service may be started for it; ``rate``
    is its number of requests a minute, None for any number.
    """

    name: str
    salt: str
    digest: str
    made_at: float
    models: tuple[str, ...] = ()
    may_start: bool = True
    rate: float | None = None

    def may_use(self, model: str) -> bool:
        """Return whether it may ask for a model by this name."""
        return not self.models or model in self.models


def digest(key: str, salt: str) -> str:
    """Return what is kept of a key, hexadecimal."""
    return hashlib.sha256(bytes.fromhex(salt) + key.encode("utf-8", "surrogateescape")).hexdigest()


@dataclass(frozen=True, slots=True)
class KeyUse:
    """The use of a key so far. Times are in seconds since the epoch, ``last_at`` None: nothing yet.

    ``made_at`` is the key's: a key that was made anew under the same name begins at nothing.
    """

    made_at: float
    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    last_at: float | None = None

    def with_request(self, prompt: int | None, completion: int | None, at: float) -> KeyUse:
        """Return the use with one more request; tokens that no server counted are 0."""
        tokens = self.prompt_tokens + (prompt or 0), self.completion_tokens + (completion or 0)
        return KeyUse(self.made_at, self.requests + 1, *tokens, at)


class RequestBucket(NamedTuple):
    """The requests that a key has left, at a moment of a clock that only runs forward: a token bucket."""

    tokens: float
    at: float


class Taken(NamedTuple):
    """A bucket after a request; ``wait_s`` is in how many seconds there is a token for it, 0: the request has one."""

    bucket: RequestBucket
    wait_s: float


def taken(bucket: RequestBucket | None, rate: float, now: float) -> Taken:
    """Take one request from a bucket of ``rate`` a minute (None: the first one). An idle minute fills the bucket."""
    most = max(1.0, rate)
    tokens = most if bucket is None else min(most, bucket.tokens + max(0.0, now - bucket.at) * rate / 60)
    if tokens >= 1 - 1e-9:  # a client that waited exactly as long as it was told finds this, in floating point
        return Taken(RequestBucket(max(0.0, tokens - 1), now), 0.0)
    return Taken(RequestBucket(tokens, now), (1 - tokens) * 60 / rate)


def limits(key: KeptKey) -> str:
    """Return what a key may not do, in words; "" where it may do everything."""
    found = [f"only {', '.join(key.models)}"] if key.models else []
    found += [] if key.may_start else ["starts nothing"]
    found += [] if key.rate is None else [f"{key.rate:g} requests a minute"]
    return "; ".join(found)
