"""Who may see the page, and press its buttons.

With keys: visitors who logged in with a key that may administer; a cookie names a session in this process's memory.
Without keys: all who reach the door, which is then on the loopback, by a name that no stranger's page can have.
A form needs a token that only a page of this gateway knows, and must not come from another site.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

from sparkctl.world.door_ports import host_is_ours

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sparkctl.operations.page.ports import PageKeys
    from sparkctl.world.door_ports import PageAsked

COOKIE: Final = "sparkctl_session"
LASTS_S: Final = 12 * 3600.0
"""How long a session lasts, a choice: a working day."""
MOST: Final = 100
"""Sessions at a time, a choice: the oldest ends for a new one."""
_BEARER: Final = "bearer "


class PageSession(NamedTuple):
    """A visitor who logged in: the name of the key, and when the session ends."""

    key: str
    until: float


class Visitors:
    """Keeps sessions. ``now`` are seconds on a clock that only runs forward; ``names`` are those of this host."""

    def __init__(self, keys: PageKeys, now: Callable[[], float], names: frozenset[str] = frozenset()) -> None:
        self._keys = keys
        self._now = now
        self._names = names
        self._secret = secrets.token_bytes(32)
        self._sessions: dict[str, PageSession] = {}

    def log_in(self, key: str, *, encrypted: bool) -> str | None:
        """Return the cookie of a new session, None where the key may not administer."""
        name = self._keys.named(key.strip())
        if name is None or not self._keys.may_administer(name):
            return None
        session = secrets.token_urlsafe(32)
        self._forget()
        self._sessions[_digest(session)] = PageSession(name, self._now() + LASTS_S)
        return _cookie(session, LASTS_S, encrypted=encrypted)

    def log_out(self, asked: PageAsked) -> str:
        """End the visitor's session, and return the cookie that ends it in the browser."""
        self._sessions.pop(_digest(asked.cookies.get(COOKIE, "")), None)
        return _cookie("", 0.0, encrypted=asked.encrypted)

    def who(self, asked: PageAsked) -> str | None:
        """Return the name of a visitor's key that may administer, "" if none is needed; None: they may not."""
        if not self._keys.needed():
            return "" if self._host(asked) else None
        found = self._sessions.get(_digest(asked.cookies.get(COOKIE, "")))
        if found is None or found.until <= self._now() or not self._keys.may_administer(found.key):
            return None
        return found.key

    def may_read(self, asked: PageAsked) -> bool:
        """Return whether the figures may be read: by visitors who may administer, or with any known key."""
        if self.who(asked) is not None:
            return True
        return self._keys.needed() and self._keys.named(bearer(asked.headers)) is not None

    def wrong_host(self, asked: PageAsked) -> bool:
        """Return whether a visitor uses a host name that may belong to a stranger's page (DNS rebinding)."""
        return not self._keys.needed() and not self._host(asked)

    def same_site(self, asked: PageAsked) -> bool:
        """Return whether somebody comes from a page of this address, and by a name of this host."""
        return same_site(asked.headers) and not self.wrong_host(asked)

    def token(self, asked: PageAsked) -> str:
        """Return the token that the forms of a page contain."""
        session = asked.cookies.get(COOKIE, "") if self._keys.needed() else ""
        return hmac.new(self._secret, session.encode("utf-8", "replace"), hashlib.sha256).hexdigest()

    def why_not(self, asked: PageAsked) -> str:
        """Return why a form is refused, "" if it is not."""
        if not same_site(asked.headers):
            return "it comes from another site"
        given = asked.fields.get("token", "").encode("utf-8", "replace")
        if not hmac.compare_digest(given, self.token(asked).encode()):
            return "the page that it comes from is of an earlier life of the gateway, or of another login: reload it"
        return ""

    def _host(self, asked: PageAsked) -> bool:
        return host_is_ours(asked.headers.get("host", ""), self._names)

    def _forget(self) -> None:
        now = self._now()
        for digest in [digest for digest, one in self._sessions.items() if one.until <= now]:
            del self._sessions[digest]
        while len(self._sessions) >= MOST:
            del self._sessions[next(iter(self._sessions))]


def same_site(headers: Mapping[str, str]) -> bool:
    """Return whether a request comes from a page of this address; one that no browser sent has no Origin."""
    if headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        return False
    origin = headers.get("origin")
    if origin is None:
        return True
    try:
        return urlsplit(origin).netloc.lower() == headers.get("host", "").lower() != ""
    except ValueError:
        return False


def bearer(headers: Mapping[str, str]) -> str:
    """Return the key of a request, "" where it has none."""
    given = headers.get("authorization", "")
    return given[len(_BEARER) :].strip() if given.lower().startswith(_BEARER) else headers.get("x-api-key", "")


def _digest(session: str) -> str:
    """Return the digest under which a session is stored: who reads this process's memory gets no cookie from it."""
    return hashlib.sha256(session.encode("utf-8", "replace")).hexdigest()


def _cookie(value: str, lasts_s: float, *, encrypted: bool) -> str:
    secure = "; Secure" if encrypted else ""
    return f"{COOKIE}={value}; Path=/; Max-Age={lasts_s:.0f}; HttpOnly; SameSite=Strict{secure}"
