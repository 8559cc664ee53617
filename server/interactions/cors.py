"""Cross-origin resource sharing: which web pages of other sites may use the API.

https://fetch.spec.whatwg.org/#http-cors-protocol, https://hl7.org/fhir/R4/security.html#cors
"""

from __future__ import annotations

from dataclasses import dataclass

Lines = tuple[tuple[bytes, bytes], ...]

ANY = "*"
EXPOSED = (
    b"ETag, Last-Modified, Location, Content-Location, X-Request-Id, X-Correlation-Id, Retry-After, Allow, "
    b"Accept-Patch, X-Progress, Expires, Preference-Applied, X-Security-Context"
)
TAKEN = (
    b"Accept, Authorization, Content-Encoding, Content-Type, Idempotency-Key, If-Match, If-Modified-Since, "
    b"If-None-Exist, If-None-Match, Prefer, X-Acting-As, X-Provenance, X-Request-Id, X-Correlation-Id, "
    b"X-Security-Context"
)
MAX_AGE = b"600"  # seconds that a browser remembers a preflight's answer


@dataclass(frozen=True, slots=True)
class Cors:
    """The origins ("https://app.example.org", or "*" for all) whose pages may read answers."""

    origins: frozenset[str] = frozenset()

    def lines(self, origin: bytes | None) -> Lines:
        """What is added to an answer. Nothing where no page of another site is let in."""
        if not self.origins:
            return ()
        if ANY in self.origins:
            return ((b"access-control-allow-origin", b"*"), (b"access-control-expose-headers", EXPOSED))
        vary = (b"vary", b"origin")
        if origin is None or origin.decode("latin-1") not in self.origins:
            return (vary,)
        return ((b"access-control-allow-origin", origin), (b"access-control-expose-headers", EXPOSED), vary)

    def preflight(self, origin: bytes | None, methods: str) -> Lines:
        """What a browser is told that asks before it sends; nothing to a page that is not let in."""
        allowed = self.lines(origin)
        if len(allowed) < 2:
            return ()
        return (
            (b"access-control-allow-methods", methods.encode()),
            (b"access-control-allow-headers", TAKEN),
            (b"access-control-max-age", MAX_AGE),
        )
