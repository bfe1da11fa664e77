"""A client's conversation with a session, through one of the protocols, without a socket."""

import json
from typing import Any

from hypothesis import strategies as st
from tests.scripted_engine import Script, ScriptedDetector, ScriptedTranscriber

from voxray.serving.client_protocols.base import ClientProtocol, Frame
from voxray.serving.protocol import Call, Control, Input, Opened, Opening
from voxray.serving.sessions.host import SessionHost
from voxray.serving.settings import Decoding, Limits
from voxray.wire import Close, ServerMessage, Start, Stop

BYTES_PER_S = 32_000
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=20), inner, max_size=3),
    max_leaves=8,
)
CHUNK_S = 0.1
SETTLE_TICKS = 50


class Talk:
    """A protocol before a real session of 16 kHz mono, whose decodes take a tick. `sent`: what came back."""

    def __init__(self, protocol: ClientProtocol, script: Script, **limits: float) -> None:
        self.protocol = protocol
        self.sent: list[dict[str, Any]] = []
        self.messages: list[ServerMessage] = []
        self.close: Close | None = None
        everything = {"finalizes_per_s": 1_000.0, **limits}
        self._host = SessionHost(
            1, Limits.model_validate(everything), Decoding(), ScriptedDetector, model="scripted"
        )
        self._transcriber, self._audio = ScriptedTranscriber(script), script.pcm().tobytes()
        self._opened: Opened | None = None
        self._now_s, self._calls, self.at = 0.0, 0, 0
        self._keep(protocol.greeting())

    @property
    def over(self) -> bool:
        """Whether all of the script was said."""
        return self.at >= len(self._audio)

    def say(self, seconds: float) -> None:
        """Say the next part of the script, in real time and in chunks of `CHUNK_S`."""
        until = min(len(self._audio), self.at + round(seconds / CHUNK_S) * round(CHUNK_S * BYTES_PER_S))
        while self.at < until:
            chunk = self._audio[self.at : self.at + round(CHUNK_S * BYTES_PER_S)]
            self.at += len(chunk)
            self.send(self._framed(chunk), chunk)

    def send(self, frame: str | bytes, audio: bytes = b"") -> None:
        """Send a frame; audio in it is heard as `audio`, whatever its rate."""
        inputs = list[bytes | Control]()
        for item in self.protocol.read(frame):
            if isinstance(item, Frame):
                self._keep([item])
            elif isinstance(item, bytes):
                inputs.append(audio)
            elif not isinstance(item, Start):  # the session begins with the first audio
                inputs.append(Control(stop=isinstance(item, Stop)))
        self._tick(*inputs, passed_s=len(audio) / BYTES_PER_S)

    def settle(self) -> None:
        """Let all that waits be decoded."""
        for _ in range(SETTLE_TICKS):
            self._tick(passed_s=CHUNK_S)

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The messages of this type, in order."""
        return [m for m in self.sent if m["type"] == kind]

    def _framed(self, chunk: bytes) -> str | bytes:
        return chunk

    def _tick(self, *inputs: bytes | Control, passed_s: float) -> None:
        if self.close or (self._opened is None and not inputs):
            return
        self._now_s += passed_s
        if self._opened is None:
            asked = self.protocol.defaults
            start = asked.model_copy(update={"sample_rate": 16_000, "encoding": Start().encoding})
            opened = self._host.open(Opening("gateway", start), self._now_s)
            assert isinstance(opened, Opened)
            self._opened = opened
            self._receive(opened.messages)
        self._calls += 1
        given = Input(self._opened.session, self._opened.epoch, tuple(inputs))
        for output in self._host.tick(Call("gateway", self._calls, (given,)), self._now_s).outputs:
            self._receive(output.messages)
            self.close = self.close or output.close
        self._host.receive_answers(map(self._transcriber, self._host.jobs(self._now_s)), self._now_s)

    def _receive(self, messages: tuple[ServerMessage, ...]) -> None:
        self.messages += messages
        self._keep(self.protocol.write(messages))

    def _keep(self, frames: object) -> None:
        assert isinstance(frames, list | tuple)
        self.sent += [json.loads(frame.text) for frame in frames]
