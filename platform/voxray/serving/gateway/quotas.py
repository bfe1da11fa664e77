"""What a key may use of one gateway, and has used: sessions at once, seconds of audio, requests.

Every gateway counts for itself. Audio counts as it is decoded, so that a session or a file that exceeds its
key's quota is the last one, and a little over; what is left refills steadily, a day's worth in a day.
"""

from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from voxray.serving.api_error import ApiError
from voxray.serving.gateway.audit import AuditLog
from voxray.serving.gateway.auth import AccessPolicy, ApiKey, bearer_key, is_api_request
from voxray.serving.protocol import Refused
from voxray.serving.token_bucket import TokenBucket
from voxray.wire import Close

QUOTA_EXCEEDED = "quota_exceeded"
RATE_LIMIT_EXCEEDED = "rate_limit_exceeded"
DAY_S = 86_400.0


class KeyUsage:
    """What one key has used of this gateway. `clock` gives monotonic seconds."""

    def __init__(self, key: ApiKey, clock: Callable[[], float]) -> None:
        self.name = key.name
        self._quota, self._clock = key.quota, clock
        self._sessions: set[SessionUsage] = set()
        self._audio = _bucket(key.quota.audio_s_per_day, DAY_S)
        self._requests = _bucket(key.quota.requests_per_min, 60.0)

    @property
    def audio_left(self) -> bool:
        """Whether any of today's audio is left."""
        return self._audio is None or self._audio.consume(0.0, self._clock())

    def consume_audio(self, seconds: float) -> bool:
        """Count `seconds` of audio; return whether there were as many."""
        return self._audio is None or self._audio.consume(seconds, self._clock())

    def consume_request(self) -> bool:
        """Count a request; return whether there may be another one."""
        return self._requests is None or self._requests.consume(1.0, self._clock())

    def session_refusal(self, resumed: str | None = None) -> Refused | None:
        """Return why this key gets no further session now, or None.

        The old connection of a session that is `resumed` may still be here: it does not count.
        """
        limit = self._quota.sessions
        others = sum(usage.session is None or usage.session != resumed for usage in self._sessions)
        if limit is not None and others >= limit:
            message = f"expected at most {limit} sessions at once with this key, got one more; end one first."
            return Refused(Close.BAD_MESSAGE, QUOTA_EXCEEDED, message)
        if not self.audio_left:
            return Refused(Close.BAD_MESSAGE, QUOTA_EXCEEDED, self.audio_message)
        return None

    @property
    def audio_message(self) -> str:
        """The message for a client whose key has no audio left."""
        return (
            f"expected at most {self._quota.audio_s_per_day:g} s of audio a day with this key, got more; "
            "try again later."
        )

    def begin_session(self, *, resumed: bool, channels: int = 1) -> "SessionUsage":
        """Count a session until its `end`. `resumed`: its audio does not begin at 0 s.

        Each of several `channels` counts for its audio.
        """
        usage = SessionUsage(self, resumed=resumed, channels=channels)
        self._sessions.add(usage)
        return usage

    def end_session(self, usage: "SessionUsage") -> None:
        """Count a session no longer."""
        self._sessions.discard(usage)


class SessionUsage:
    """What one connection uses of its key's quota, `session` being its id. Call `end` once it is closed."""

    def __init__(self, key: KeyUsage, *, resumed: bool, channels: int = 1) -> None:
        self.key = key
        self._channels = channels
        self.session: str | None = None
        self.audio_s = 0.0
        self._position_s: float | None = None if resumed else 0.0

    def processed(self, position_s: float) -> bool:
        """Count the audio up to `position_s` of the session; return whether the key's quota allows more."""
        new_s = 0.0 if self._position_s is None else max(0.0, position_s - self._position_s)
        new_s *= self._channels
        self._position_s = max(position_s, self._position_s or 0.0)
        self.audio_s += new_s
        return self.key.consume_audio(new_s)

    def end(self) -> None:
        """Count the session no longer."""
        self.key.end_session(self)


class RequestUsage:
    """The audio of one REST request: `request.state.usage`."""

    def __init__(self, key: KeyUsage) -> None:
        self.audio_s = 0.0
        self._key = key

    def charge(self, seconds: float) -> None:
        """Count `seconds` of audio that was decoded."""
        self.audio_s += seconds
        self._key.consume_audio(seconds)


class KeyUsages:
    """The usage of all keys of `policy`; without keys, all clients have one together."""

    def __init__(self, policy: AccessPolicy, clock: Callable[[], float]) -> None:
        self._policy, self._clock = policy, clock
        self._usages: dict[bytes, KeyUsage] = {}

    def of(self, key: str | None) -> KeyUsage:
        """Return the usage of a key that the policy admits."""
        found = self._policy.find(key)
        assert found
        return self._usages.setdefault(found.digest, KeyUsage(found, self._clock))


class UsageMiddleware:
    """ASGI middleware below `AuthMiddleware`: 429 for a key over its quota, and the audit of requests."""

    def __init__(self, app: ASGIApp, usages: KeyUsages, audit: AuditLog, clock: Callable[[], float]) -> None:
        self._app, self._usages, self._audit, self._clock = app, usages, audit, clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse the request, or pass it on; only those below `/v1/` count."""
        if scope["type"] != "http" or not is_api_request(scope):
            return await self._app(scope, receive, send)
        key = self._usages.of(bearer_key(Headers(scope=scope)))
        usage, begun_s, status = RequestUsage(key), self._clock(), 0

        async def send_noting_status(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        scope.setdefault("state", {})["usage"] = usage
        try:
            refused = _request_refusal(key, scope)
            await (refused.response() if refused else self._app)(scope, receive, send_noting_status)
        finally:
            self._audit.write(
                "request",
                key=key.name,
                method=scope["method"],
                path=scope["path"],
                status=status or None,
                seconds=self._clock() - begun_s,
                audio_s=usage.audio_s,
            )


def _request_refusal(key: KeyUsage, scope: Scope) -> ApiError | None:
    if not key.consume_request():
        message = "expected fewer requests a minute with this key, got one more; try again later."
        return ApiError(429, message, code=RATE_LIMIT_EXCEEDED)
    if "/v1/audio/" in scope["path"] and not key.audio_left:
        return ApiError(429, key.audio_message, code=QUOTA_EXCEEDED)
    return None


def _bucket(count: float | None, seconds: float) -> TokenBucket | None:
    return None if count is None else TokenBucket(count / seconds, count)
