"""Identifies the caller of a request: the key that came with it, compared with the stored ones."""

from __future__ import annotations

import hmac
from math import ceil
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base.errors import InputError
from sparkctl.operations.gateway.keys import folder
from sparkctl.operations.gateway.keys.folder import KeyRing
from sparkctl.planning.gateway.keys import LONGEST, KeptKey, RequestBucket, digest, taken
from sparkctl.world.door_ports import Refuse, host_is_ours

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sparkctl.operations.gateway.keys.use import KeyUses
    from sparkctl.world.door_ports import Arrival


_TICK_S: Final = 0.1
"""Longer than a tick of a file system's clock, 10 ms at most: after it a second change has another time."""
_LOOK_S: Final = 1.0
"""How often each file is looked at, for what leaves its folder as it is: an edit in its place, another mode."""
_NEEDED: Final = "a key is needed: send it as `Authorization: Bearer …` or `x-api-key`"


class DoorRules(NamedTuple):
    """Which callers are served without a key.

    ``local``: only this host reaches the gateway, so that no key is needed while there is none. ``open``: everybody is,
    as the operator said in so many words. ``hosts`` are the names by which this host is meant in a browser, beside its
    addresses and localhost.
    """

    local: bool
    open: bool = False
    hosts: frozenset[str] = frozenset()


class Anybody(NamedTuple):
    """The caller without a key, if none is needed."""

    name: str = ""
    may_start: bool = True

    def may_use(self, model: str) -> bool:  # noqa: ARG002  (as every caller's)
        """Return whether it may ask for a model by this name."""
        return True

    def revoked(self) -> bool:
        """Return whether its key was revoked: it came with none."""
        return False

    def used(self, prompt: int | None, completion: int | None) -> None:
        """Take note of a request that is over: there is nobody to count it for."""


class KeyOwner:
    """A caller with a key."""

    def __init__(self, key: KeptKey, uses: KeyUses, revoked: Callable[[KeptKey], bool]) -> None:
        self._key = key
        self._uses = uses
        self._revoked = revoked

    @property
    def name(self) -> str:
        """The key's name."""
        return self._key.name

    @property
    def may_start(self) -> bool:
        """Whether a service is started for it."""
        return self._key.may_start

    def may_use(self, model: str) -> bool:
        """Return whether it may ask for a model by this name."""
        return self._key.may_use(model)

    def revoked(self) -> bool:
        """Return whether its key was revoked meanwhile, so that what it began ends, too."""
        return self._revoked(self._key)

    def used(self, prompt: int | None, completion: int | None) -> None:
        """Take note of a request that is over, and of its tokens where they are known."""
        self._uses.note(self._key, prompt, completion)


class KeysAtDoor:
    """Knows the keys, and sees at each request whether they have changed.

    A gateway that had a key once wants one until it ends, also where the last one was revoked: that must open no door.
    ``now`` is a clock that only runs forward; ``tell`` is told of files that are no keys, once for each.
    """

    def __init__(
        self, place: Path, rules: DoorRules, uses: KeyUses, now: Callable[[], float], tell: Callable[[str], None]
    ) -> None:
        self._place, self._rules, self._uses, self._now, self._tell = place, rules, uses, now, tell
        self._seen: tuple[object, ...] | None = None
        self._mark: tuple[int, ...] = ()
        self._changed_at: float | None = None
        self._looked_at = 0.0
        self._ring = KeyRing()
        self._trouble = ""
        self._had_keys = False
        self._buckets: dict[str, RequestBucket] = {}

    @property
    def keys(self) -> tuple[KeptKey, ...]:
        """The keys that there are now."""
        self._look()
        return self._ring.keys

    @property
    def needed(self) -> bool:
        """Whether nobody is served without a key."""
        self._look()
        return not self._rules.open and bool(self._had_keys or self._trouble or not self._rules.local)

    def caller(self, arrival: Arrival) -> KeyOwner | Anybody | Refuse:
        """Return whose request it is, or why it is refused: no key, a wrong one, too many requests."""
        self._look()
        key = self.owner(arrival.key)
        if key is not None:
            return self._limited(key)
        if self._rules.open:
            return Anybody()
        if self._trouble:
            words = f"the keys of this gateway cannot be used: {self._trouble}"
            return Refuse(503, "keys_unusable", words, should_retry=False)
        if self._had_keys or not self._rules.local:
            words = "this is no key of this gateway" if arrival.key else _NEEDED
            return Refuse(401, "invalid_api_key", words, None, False, {"WWW-Authenticate": "Bearer"})
        if not host_is_ours(arrival.host, self._rules.hosts):
            words = f"without keys this gateway is for its own host, and not for {arrival.host[:100]!r}"
            return Refuse(403, "foreign_host", words, should_retry=False)
        return Anybody()  # whatever it sent: clients that want a key at all costs are given any

    def owner(self, text: str) -> KeptKey | None:
        """Return the key with this text, None if there is none. It takes the same time for every text."""
        self._look()
        known = text if 0 < len(text) <= LONGEST else ""
        found = None
        for key in self._ring.keys:
            if hmac.compare_digest(digest(known, key.salt), key.digest):
                found = key
        return found

    def revoked(self, key: KeptKey) -> bool:
        """Return whether a key is there no more; one whose file is damaged, or not to be seen now, may be."""
        self._look()
        if self._trouble or key.name in {one.name for one in self._ring.damaged}:
            return False
        return not any(one.name == key.name and one.digest == key.digest for one in self._ring.keys)

    def _limited(self, key: KeptKey) -> KeyOwner | Refuse:
        """Return the owner of a key, unless it has had its requests of this minute."""
        if key.rate is not None:
            found = taken(self._buckets.get(key.name), key.rate, self._now())
            self._buckets[key.name] = found.bucket
            if found.wait_s > 0:
                words = f"the key {key.name} has {key.rate:g} requests a minute, and they are used up"
                return Refuse(429, "rate_limit_exceeded", words, max(1, ceil(found.wait_s)), should_retry=True)
        return KeyOwner(key, self._uses, self.revoked)

    def _look(self) -> None:
        """Read the keys again where any of them has changed."""
        mark, now = folder.mark(self._place), self._now()
        if mark != self._mark or self._changed_at is None:
            self._mark, self._changed_at = mark, now
        elif self._changed_at + _TICK_S < self._looked_at and now < self._looked_at + _LOOK_S:
            return
        self._looked_at = now
        seen = folder.seen(self._place)
        if seen == self._seen:
            return
        self._seen = seen
        before = {(one.name, one.why) for one in self._ring.damaged}
        try:
            self._ring, self._trouble = folder.read(self._place), ""
        except InputError as error:
            self._ring, self._trouble = KeyRing(), "its folder is not to be trusted, or cannot be read"
            self._tell(f"{error.message}; {error.hint}")
        self._had_keys |= bool(self._ring.keys or self._ring.damaged)
        for one in self._ring.damaged:
            if (one.name, one.why) not in before:
                self._tell(f"the key {one.name} is none: {one.why}; {one.todo}")
        kept = {one.name for one in self._ring.keys}
        self._buckets = {name: bucket for name, bucket in self._buckets.items() if name in kept}
