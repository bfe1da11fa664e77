import json
import logging
from collections.abc import Callable, Iterable
from itertools import count, cycle
from typing import Any

import numpy as np
import pytest
from tests.scripted_engine import Script, ScriptedDetector, ScriptedTranscriber

from voxray.audio import Pcm
from voxray.serving.audio_input.voice_activity import VoiceActivityDetector
from voxray.serving.protocol import (
    Answer,
    Call,
    Control,
    Input,
    Job,
    Opened,
    Opening,
    Output,
    Preload,
    Refused,
    Reply,
    SessionError,
)
from voxray.serving.sessions.final_recorder import FinalSinks, no_sink
from voxray.serving.sessions.gateway_state import SILENT_S
from voxray.serving.sessions.host import SessionHost
from voxray.serving.settings import Decoding, Limits
from voxray.wire import Close, Error, Ready, ServerMessage, Start, render

SCRIPT = Script.of("turn on the lights, please.")
AUDIO = SCRIPT.pcm().tobytes()
FINALIZE, STOP = Control(stop=False), Control(stop=True)
TICK_S = 0.05
Item = bytes | Control


def host_of(
    new_detector: Callable[[], VoiceActivityDetector] = ScriptedDetector,
    observe: Callable[[str, float], None] | None = None,
    sink_of: FinalSinks = no_sink,
    **limits: float,
) -> SessionHost:
    numbers = count()
    return SessionHost(
        7,
        Limits(**limits),  # type: ignore[arg-type]  # some of them are ints
        Decoding(),
        new_detector,
        model="scripted",
        observe=observe or (lambda name, value: None),
        secret=lambda: f"{next(numbers):032x}",
        sink_of=sink_of,
    )


def ready_of(opened: Opened) -> Ready:
    [ready] = [message for message in opened.messages if isinstance(message, Ready)]
    return ready


class Scene:
    """A host, gateways that call it, and a transcriber that knows one script."""

    def __init__(self, host: SessionHost | None = None, script: Script = SCRIPT) -> None:
        self.host = host or host_of()
        self.transcriber = ScriptedTranscriber(script)
        self.now_s = 100.0
        self.numbers: dict[str, int] = {}
        self.decoded = list[Job]()

    def open(self, gateway: str = "gw", **start: Any) -> Opened:
        opened = self.ask(gateway, **start)
        assert isinstance(opened, Opened)
        return opened

    def ask(self, gateway: str = "gw", **start: Any) -> Opened | Refused:
        return self.host.open(Opening(gateway, Start(**start)), self.now_s)

    def resume(self, opened: Opened, gateway: str = "gw", **start: Any) -> Opened:
        return self.open(gateway, session=opened.session, resume_token=opened.resume_token, **start)

    def tick(self, *inputs: Input, gateway: str = "gw") -> Reply:
        self.now_s += TICK_S
        self.numbers[gateway] = number = self.numbers.get(gateway, 0) + 1
        return self.host.tick(Call(gateway, number, inputs), self.now_s)

    def send(self, opened: Opened, *items: Item, gateway: str = "gw") -> list[dict[str, Any]]:
        """Return the messages that the client gets in answer to `items`."""
        reply = self.tick(Input(opened.session, opened.epoch, items), gateway=gateway)
        return received(reply, opened)

    def decode(self) -> list[Job]:
        jobs = self.host.jobs(self.now_s)
        self.decoded += jobs
        self.host.receive_answers([self.transcriber(job) for job in jobs], self.now_s)
        return jobs

    def play(self, opened: Opened, audio: bytes = AUDIO, *, gateway: str = "gw") -> list[dict[str, Any]]:
        """Send `audio` in real time, decoded at once; return the messages that the client gets."""
        sent, chunk = list[dict[str, Any]](), round(TICK_S * 32_000)
        for at in range(0, len(audio), chunk):
            sent += self.send(opened, audio[at : at + chunk], gateway=gateway)
            self.decode()
        return sent

    def settle(self, opened: Opened, *items: Item) -> list[dict[str, Any]]:
        """Send `items` and decode until nothing is left; return the messages that the client gets."""
        sent = self.send(opened, *items)
        while self.decode():
            sent += self.send(opened)
        return sent + self.send(opened)


def received(reply: Reply, opened: Opened) -> list[dict[str, Any]]:
    return as_json(m for output in of(reply, opened) for m in output.messages)


def as_json(messages: Iterable[ServerMessage]) -> list[dict[str, Any]]:
    return [json.loads(render(m)) for m in messages]


def of(reply: Reply, opened: Opened) -> list[Output]:
    return [o for o in reply.outputs if (o.session, o.epoch) == (opened.session, opened.epoch)]


def closes(reply: Reply) -> list[Close | None]:
    return [o.close for o in reply.outputs]


def kinds(messages: list[dict[str, Any]]) -> list[str]:
    """Types, but for acks."""
    return [m["type"] for m in messages if m["type"] != "ack"]


def texts(messages: list[dict[str, Any]]) -> list[str]:
    return [m["text"] for m in messages if m["type"] == "final"]


# Opening.


def test_a_new_session_is_named_by_its_host_and_ready() -> None:
    opened = Scene().open()
    [ready] = as_json(opened.messages)

    number, _, name = opened.session.partition(".")
    assert (number, len(name), len(opened.resume_token)) == ("7", 32, 32)
    assert ready == {
        "type": "ready",
        "session": opened.session,
        "resume_token": opened.resume_token,
        "resumed": False,
        "received_bytes": 0,
        "model": "scripted",
    }
    assert opened.credit_bytes > 0


def test_one_more_session_than_fits_is_refused() -> None:
    scene = Scene(host_of(sessions_per_actor=2))
    scene.open()
    scene.open()

    refused = scene.ask()
    assert isinstance(refused, Refused)
    assert (refused.close, refused.code) == (Close.FULL, "full")
    assert scene.host.sessions == 2


def test_a_session_that_is_done_makes_room() -> None:
    scene = Scene(host_of(sessions_per_actor=1))
    scene.settle(scene.open(), STOP)

    assert scene.host.sessions == 0
    assert scene.open()


def test_a_session_that_cannot_begin_between_frames_is_refused() -> None:
    refused = Scene().ask(from_byte=3)

    assert isinstance(refused, Refused)
    assert (refused.close, refused.code) == (Close.BAD_MESSAGE, "bad_message")
    assert "from_byte" in refused.message


def test_a_language_that_the_model_does_not_know_is_refused() -> None:
    scene = Scene()
    assert isinstance(scene.ask(language="de"), Opened)  # before a transcriber has connected

    scene.host.languages = {None: ("en", "fr"), "other": ("de",)}
    refused = scene.ask(language="de")

    assert isinstance(refused, Refused)
    assert refused.close is Close.BAD_MESSAGE
    assert refused.message == "language: expected one that the model knows (en, fr), got 'de'."
    assert isinstance(scene.ask(language="fr"), Opened)
    assert isinstance(scene.ask(language="de", model="other"), Opened)
    assert isinstance(scene.ask(language="fr", model="other"), Refused)
    assert isinstance(scene.ask(), Opened)


@pytest.mark.parametrize("start", [{"from_byte": 100}, {"have_segment": 0}])
def test_a_container_cannot_begin_in_its_middle(start: dict[str, Any]) -> None:
    refused = Scene().ask(encoding="container", session="7.unknown", **start)

    assert isinstance(refused, Refused)
    assert refused.code == "not_resumable"


def test_a_session_keeps_its_model_when_it_is_resumed() -> None:
    scene = Scene()
    opened = scene.open(model="other")
    scene.send(opened, AUDIO[:50_000])
    resumed = scene.resume(opened, model="another")

    assert [ready_of(o).model for o in (opened, resumed)] == ["other", "other"]
    assert [job.model for job in scene.host.jobs(scene.now_s)] == ["other"]
    assert ready_of(scene.open()).model == "scripted"


def test_a_model_that_cannot_be_loaded_ends_its_session_and_no_other() -> None:
    scene = Scene()
    opened, other = scene.open(model="broken"), scene.open()
    [preload] = scene.host.preloads()
    scene.host.receive_answers(
        [Answer(preload.session, 0, None, error=SessionError("model_unavailable", "expected weights."))],
        scene.now_s,
    )
    reply = scene.tick()

    assert preload == Preload(opened.session, "broken")
    [ended] = [output for output in reply.outputs if output.close]
    assert (ended.session, ended.close) == (opened.session, Close.BAD_MESSAGE)
    assert ended.messages == (Error("model_unavailable", "expected weights."),)
    assert scene.play(other)
    assert scene.host.sessions == 1


# Messages.


def test_a_client_gets_the_messages_from_speech_start_to_done() -> None:
    scene = Scene()
    opened = scene.open()
    sent = scene.play(opened) + scene.settle(opened, STOP)

    assert kinds(sent) == ["speech_start", *["partial"] * 4, "speech_end", "final", "done"]
    assert texts(sent) == [SCRIPT.text]
    assert sent[-1] == {"type": "done", "audio_s": round(SCRIPT.length / 16_000, 3), "segments": 1}


def test_speech_without_a_pause_is_transcribed_beyond_its_first_cut() -> None:
    script = Script.of(" ".join(f"word{n}" for n in range(60)))
    scene = Scene(script=script)
    opened = scene.open(words=True)
    sent = scene.play(opened, script.pcm().tobytes()) + scene.settle(opened, STOP)

    assert len(texts(sent)) > 1
    assert " ".join(texts(sent)) == script.text
    assert kinds(sent)[-1] == "done"


def test_done_closes_the_connection_once() -> None:
    scene = Scene()
    opened = scene.open()
    reply = scene.tick(Input(opened.session, opened.epoch, (STOP,)))

    assert closes(reply) == [Close.NORMAL]
    assert scene.tick().outputs == ()


def test_words_come_only_where_they_were_asked_for() -> None:
    for words in (True, False):
        scene = Scene()
        opened = scene.open(words=words)
        [final] = [m for m in scene.play(opened) if m["type"] == "final"]

        assert ("words" in final) is words
    assert final["text"] == SCRIPT.text


def test_each_final_is_followed_by_the_byte_up_to_which_it_reaches() -> None:
    scene = Scene()
    sent = scene.play(scene.open())
    at = [m["type"] for m in sent].index("final")

    assert sent[at + 1]["type"] == "ack"
    assert sent[at + 1]["keep_from_byte"] >= 32_000 * sent[at]["end_s"]


def test_finalize_is_answered_after_the_finals_of_the_audio_before_it() -> None:
    scene = Scene()
    opened = scene.open()
    half = 2 * SCRIPT.words[2].end
    sent = scene.settle(opened, AUDIO[:half], FINALIZE, AUDIO[half:], FINALIZE)

    assert [k for k in kinds(sent) if k not in ("partial", "speech_start", "speech_end")] == [
        "final",
        "finalized",
        "final",
        "finalized",
    ]
    assert texts(sent) == ["turn on the", "lights, please."]


def test_what_was_asked_for_at_the_start_goes_with_each_job() -> None:
    scene = Scene()
    opened = scene.open(language="de", task="translate", prompt="Lamps.", hotwords="lights")
    scene.send(opened, AUDIO[:60_000])
    [job] = scene.host.jobs(scene.now_s)

    assert (job.language, job.task, job.prompt, job.hotwords) == ("de", "translate", "Lamps.", "lights")
    assert (job.session, job.pcm) == (opened.session, AUDIO[60_000 - len(job.pcm) - 608 : 60_000 - 608])
    assert 0 < job.due_in_s <= 0.5


# Flow.


def test_credit_is_what_the_session_has_room_for() -> None:
    scene = Scene(host_of(undecoded_s=20.0))
    opened = scene.open()
    speech = np.ones(16_000, dtype=np.int16).tobytes()
    [first] = of(scene.tick(Input(opened.session, opened.epoch, (speech,))), opened)
    [second] = of(scene.tick(Input(opened.session, opened.epoch, (speech * 10,))), opened)

    assert first.credit_bytes - second.credit_bytes == 10 * len(speech)
    assert abs(second.credit_bytes - 9 * 32_000) < 3_000


def test_outputs_come_for_new_credit_and_for_nothing_else() -> None:
    scene = Scene()
    opened = scene.open()
    scene.send(opened)

    assert scene.tick().outputs == ()
    assert scene.tick(Input(opened.session, opened.epoch, (bytes(320),))).outputs != ()
    assert scene.tick().outputs == ()


def test_audio_beyond_the_credit_waits_and_loses_nothing() -> None:
    script = Script.of("\n".join(f"one{i} two{i} three{i} four{i}" for i in range(12)))
    scene = Scene(host_of(undecoded_s=15.0), script)
    opened = scene.open()
    audio = script.pcm().tobytes()
    assert 20 * 32_000 < len(audio) < 30 * 32_000
    sent = scene.settle(opened, audio, STOP)

    assert " ".join(texts(sent)) == script.text
    assert sent[-1]["type"] == "done"


def test_a_client_that_sends_far_more_than_its_credit_is_closed() -> None:
    scene = Scene(host_of(undecoded_s=15.0))
    opened = scene.open()
    speech = np.ones(40 * 16_000, dtype=np.int16).tobytes()
    [output] = of(scene.tick(Input(opened.session, opened.epoch, (speech,))), opened)

    assert output.close is Close.BAD_MESSAGE
    assert as_json(output.messages)[-1]["code"] == "too_fast"


def test_lag_counts_what_waits_for_room() -> None:
    scene = Scene(host_of(undecoded_s=15.0))
    opened = scene.open()
    scene.send(opened, np.ones(25 * 16_000, dtype=np.int16).tobytes())
    for _ in range(25):
        sent = scene.send(opened)
        if sent:
            break

    assert sent[-1]["type"] == "ack"
    assert sent[-1]["received_bytes"] == 25 * 32_000
    assert sent[-1]["lag_s"] == pytest.approx(25.0, abs=0.1)


def test_finalizes_in_quick_succession_are_too_fast() -> None:
    scene = Scene(host_of(finalizes_per_s=2.0))
    opened = scene.open()

    assert kinds(scene.send(opened, *[FINALIZE] * 6)) == ["finalized"] * 6
    sent = scene.send(opened, FINALIZE)
    assert sent[-1]["code"] == "too_fast"


def test_a_session_that_is_too_long_ends_as_with_stop() -> None:
    scene = Scene(host_of(session_s=2.5))
    opened = scene.open()
    sent = scene.play(opened) + scene.settle(opened)

    assert texts(sent) == [SCRIPT.text]
    assert sent[-1]["type"] == "done"
    assert sent[-1]["audio_s"] == pytest.approx(2.5, abs=0.1)


def test_after_stop_a_second_stop_is_harmless_and_audio_is_not() -> None:
    scene = Scene()
    opened = scene.open()
    scene.send(opened, AUDIO[:80_000], STOP, STOP)

    sent = scene.send(opened, bytes(2))
    assert (sent[-1]["type"], sent[-1]["code"]) == ("error", "bad_message")


# Calls.


def test_the_same_call_again_gets_the_same_reply_and_takes_nothing_twice() -> None:
    scene = Scene()
    opened = scene.open()
    call = Call("gw", 1, (Input(opened.session, opened.epoch, (AUDIO[:70_000],)),))

    first = scene.host.tick(call, 101.0)
    assert first.outputs
    assert scene.host.tick(call, 102.0) is first
    assert scene.host.tick(Call("gw", 0), 102.0) == Reply(0, sessions=1)
    assert as_json(scene.resume(opened).messages)[0]["received_bytes"] == 70_000


def test_a_gateway_gets_outputs_of_its_own_connections_only() -> None:
    scene = Scene()
    mine, other = scene.open("gw"), scene.open("other")
    reply = scene.tick(gateway="gw")

    assert {o.session for o in reply.outputs} == {mine.session}
    assert scene.host.gateways == {"gw", "other"}
    assert of(scene.tick(gateway="other"), other)


def test_input_of_an_unknown_session_is_closed_for_a_restart() -> None:
    scene = Scene()

    [output] = scene.tick(Input("7.gone", 1, (b"..",))).outputs
    assert output == Output("7.gone", 1, close=Close.RESTART)
    assert scene.tick(Input("7.gone", 1, left=True)).outputs == ()


# Resuming.


def test_a_lost_connection_gets_its_session_back_with_the_finals_that_it_lacks() -> None:
    scene = Scene()
    opened = scene.open()
    scene.play(opened)
    again = scene.resume(opened, "other")
    ready, *finals = as_json(again.messages)

    assert (again.session, again.epoch) == (opened.session, opened.epoch + 1)
    assert (ready["resumed"], ready["received_bytes"]) == (True, len(AUDIO))
    assert texts(finals) == [SCRIPT.text]
    assert len(scene.resume(opened, "other", have_segment=0).messages) == 1


def test_the_older_connection_is_closed_wherever_it_is() -> None:
    scene = Scene()
    opened = scene.open("old")
    scene.tick(gateway="old")
    scene.resume(opened, "new")

    [output] = scene.tick(gateway="old").outputs
    assert (output.epoch, output.close) == (opened.epoch, Close.RESUMED_ELSEWHERE)
    assert as_json(output.messages)[0]["code"] == "resumed_elsewhere"
    late = scene.tick(Input(opened.session, opened.epoch, (b"late",)), gateway="old")
    assert closes(late) == [Close.RESUMED_ELSEWHERE]


def test_audio_of_an_older_connection_is_ignored() -> None:
    scene = Scene()
    opened = scene.open()
    again = scene.resume(opened)
    reply = scene.tick(Input(opened.session, opened.epoch, (b"late",)))

    assert closes(reply)[0] is Close.RESUMED_ELSEWHERE
    assert as_json(scene.resume(again).messages)[0]["received_bytes"] == 0


@pytest.mark.parametrize("wrong", [{"resume_token": "0" * 32}, {"session": "7.unknown"}, {"resume_token": "é"}])  # fmt: skip  # noqa: E501  # one line reads best
def test_an_unknown_session_and_a_wrong_token_begin_anew_alike(wrong: dict[str, str]) -> None:
    scene = Scene()
    opened = scene.open()
    start = {"session": opened.session, "resume_token": opened.resume_token, **wrong}
    new = scene.open(**start, have_segment=4, from_byte=32_000)
    [ready] = as_json(new.messages)

    assert new.session != opened.session
    assert (ready["resumed"], ready["received_bytes"]) == (False, 32_000)
    sent = scene.play(new, AUDIO[32_000:])
    assert [(m["segment"], m["start_s"], m["text"]) for m in sent if m["type"] == "final"] == [
        (5, 1.0, SCRIPT.text)
    ]


def test_a_session_comes_back_only_as_the_audio_that_it_was() -> None:
    scene = Scene()
    opened = scene.open()
    start = {"session": opened.session, "resume_token": opened.resume_token}
    refused = scene.ask(**start, sample_rate=44_100)

    assert isinstance(refused, Refused)
    assert refused.code == "bad_message"
    assert "16000" in refused.message
    assert "44100" in refused.message


def test_done_that_was_lost_is_sent_again() -> None:
    scene = Scene()
    opened = scene.open()
    scene.settle(opened, AUDIO, STOP)
    again = scene.resume(opened)

    assert kinds(as_json(again.messages)) == ["ready", "final", "done"]
    assert closes(scene.tick()) == [Close.NORMAL]


def test_a_session_goes_on_without_a_connection() -> None:
    scene = Scene()
    opened = scene.open()
    scene.tick(Input(opened.session, opened.epoch, (AUDIO,), left=True))
    while scene.decode():
        pass

    assert not scene.host.gateways
    assert texts(as_json(scene.resume(opened).messages)) == [SCRIPT.text]


def test_messages_that_a_lost_connection_did_not_get_are_sent_once() -> None:
    scene = Scene()
    opened = scene.open()
    scene.send(opened, AUDIO)
    while scene.decode():
        pass
    again = scene.resume(opened)

    assert texts(as_json(again.messages)) == [SCRIPT.text]
    assert texts(scene.send(again)) == []


# Time.


def test_a_silent_gateway_loses_its_clients_and_finds_them_again() -> None:
    scene = Scene()
    opened = scene.open()
    scene.send(opened, AUDIO)
    scene.host.sweep(scene.now_s + 1.9)
    assert scene.host.gateways
    scene.host.sweep(scene.now_s + 2.1)
    assert (scene.host.sessions, scene.host.gateways) == (1, frozenset())

    assert texts(scene.settle(opened)) == [SCRIPT.text]
    assert scene.host.gateways


def test_a_session_that_is_not_resumed_in_time_is_dropped() -> None:
    scene = Scene()
    opened = scene.open()
    scene.tick(Input(opened.session, opened.epoch, left=True))
    scene.host.sweep(scene.now_s + 59.0)
    assert scene.host.sessions == 1
    scene.host.sweep(scene.now_s + 61.0)

    assert scene.host.sessions == 0
    assert not as_json(scene.resume(opened).messages)[0]["resumed"]


def test_a_session_that_cannot_be_resumed_ends_with_its_connection() -> None:
    scene = Scene()
    opened = scene.host.open(Opening("gw", Start(), resumable=False), scene.now_s)
    assert isinstance(opened, Opened)
    scene.send(opened, AUDIO)
    assert scene.host.queued == 1
    reply = scene.tick(Input(opened.session, opened.epoch, (AUDIO,), left=True))

    assert of(reply, opened) == []
    assert (scene.host.sessions, scene.host.queued) == (0, 0)
    assert as_json(scene.resume(opened).messages)[0]["resumed"] is False


def test_a_session_that_cannot_be_resumed_outlives_a_short_silence_of_its_gateway() -> None:
    scene = Scene()
    opened = scene.host.open(Opening("gw", Start(), resumable=False), scene.now_s)
    assert isinstance(opened, Opened)
    scene.now_s += 2 * SILENT_S
    scene.host.sweep(scene.now_s)

    assert not scene.host.gateways
    assert texts(scene.play(opened)) == [SCRIPT.text]


def test_a_session_that_failed_is_not_kept() -> None:
    scene = Scene()
    opened = scene.open()
    scene.tick(Input(opened.session, opened.epoch, (STOP, b"after stop"), left=True))
    assert len(scene.host._managers) == 1
    scene.host.sweep(scene.now_s + 0.1)

    assert scene.host._managers == {}


def test_a_connection_whose_session_was_dropped_is_closed_for_a_restart() -> None:
    scene = Scene()
    opened = scene.open()
    scene.tick()
    scene.host.sweep(scene.now_s + 2.1)
    scene.now_s += 62.2
    scene.open()
    scene.host.sweep(scene.now_s)

    assert [o.close for o in of(scene.tick(), opened)] == [Close.RESTART]


# Jobs.


def test_a_job_is_handed_out_once_and_a_newer_one_takes_its_place() -> None:
    scene = Scene()
    opened = scene.open()
    scene.send(opened, AUDIO[:50_000])
    assert scene.host.queued == 1
    scene.send(opened, AUDIO[50_000:80_000])
    assert scene.host.queued == 1
    [job] = scene.host.jobs(scene.now_s)

    assert len(job.pcm) > 30_000
    assert scene.host.queued == 0
    assert scene.host.jobs(scene.now_s) == []


def test_jobs_of_a_lost_transcriber_are_handed_out_again() -> None:
    scene = Scene()
    opened = scene.open()
    scene.send(opened, AUDIO[:50_000])
    [old] = scene.host.jobs(scene.now_s)
    scene.host.requeue(scene.now_s)
    assert scene.host.queued == 1
    [again] = scene.host.jobs(scene.now_s)

    assert (again.number, again.pcm) == (old.number, old.pcm)


def test_of_lost_jobs_only_the_newest_is_handed_out_again() -> None:
    scene = Scene()
    opened = scene.open()
    scene.send(opened, AUDIO[:50_000])
    [first] = scene.host.jobs(scene.now_s)
    scene.send(opened, AUDIO[50_000:80_000])
    [second] = scene.host.jobs(scene.now_s)
    assert second.number > first.number
    scene.host.requeue(scene.now_s)

    assert [j.number for j in scene.host.jobs(scene.now_s)] == [second.number]


def test_answers_to_nothing_are_ignored() -> None:
    scene = Scene()
    opened = scene.open()
    scene.send(opened, AUDIO[:50_000])
    [job] = scene.host.jobs(scene.now_s)
    scene.host.receive_answers([Answer("7.gone", 0, None), Answer(opened.session, 99, None)], scene.now_s)
    scene.host.receive_answers([scene.transcriber(job)] * 2, scene.now_s)

    assert kinds(scene.send(opened)) == ["partial"]


def test_a_failed_final_is_decoded_again_and_then_given_up() -> None:
    scene = Scene()
    opened = scene.open()
    sent = scene.send(opened, AUDIO, STOP)
    jobs = list[Job]()
    while asked := scene.host.jobs(scene.now_s):
        jobs += asked
        scene.host.receive_answers([Answer(j.session, j.number, None) for j in asked], scene.now_s)
        sent += scene.send(opened)

    assert [j.mode.value for j in jobs] == ["final", "fallback"]
    assert kinds(sent)[-2:] == ["final", "done"]
    assert texts(sent) == [""]


# Faults.


class FaultyDetector(ScriptedDetector):
    """Fails at speech."""

    def probabilities(self, pcm: Pcm) -> list[float]:
        if pcm.any():
            raise RuntimeError("the model failed")
        return super().probabilities(pcm)


def test_bytes_that_are_no_audio_end_their_session_and_no_other() -> None:
    scene = Scene()
    bad, good = scene.open(), scene.open()
    wav = b"RIFF\x00\x00\x00\x00WAVEdata\x00\x00\x00\x00"
    reply = scene.tick(Input(bad.session, 1, (wav,)), Input(good.session, 1, (AUDIO[:3200],)))

    [output] = of(reply, bad)
    assert output.close is Close.NOT_AUDIO
    assert as_json(output.messages)[-1]["code"] == "not_audio"
    assert texts(scene.play(good, AUDIO[3200:])) == [SCRIPT.text]
    assert not as_json(scene.resume(bad).messages)[0]["resumed"]


def test_a_bug_in_one_session_ends_it_and_no_other(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene()
    bad, good = scene.open(), scene.open()
    scene.send(bad, AUDIO[:50_000])
    [job] = scene.host.jobs(scene.now_s)
    with caplog.at_level(logging.CRITICAL):
        scene.host.receive_answers([Answer(job.session, job.number, "no hypothesis")], scene.now_s)  # type: ignore[arg-type]  # the bug
    [output] = of(scene.tick(), bad)

    assert output.close is Close.RESTART
    assert as_json(output.messages)[-1]["code"] == "internal"
    assert texts(scene.play(good)) == [SCRIPT.text]


def test_a_fault_of_a_detector_ends_its_session_and_no_other_of_the_same_call(
    caplog: pytest.LogCaptureFixture,
) -> None:
    scene = Scene(host_of(cycle([FaultyDetector(), ScriptedDetector()]).__next__))
    bad, good = scene.open(), scene.open()
    half = len(AUDIO) // 2
    with caplog.at_level(logging.CRITICAL):
        reply = scene.tick(Input(bad.session, 1, (AUDIO[:half],)), Input(good.session, 1, (AUDIO[:half],)))

    assert [o.close for o in of(reply, bad)] == [Close.RESTART]
    assert [o.close for o in of(reply, good)] == [None]
    scene.decode()
    assert texts(scene.settle(good, AUDIO[half:])) == [SCRIPT.text]


# Watching.


def test_sessions_observe_their_metrics() -> None:
    seen = list[tuple[str, float]]()
    scene = Scene(host_of(observe=lambda name, value: seen.append((name, value))))
    opened = scene.open()
    scene.play(opened)
    scene.resume(opened)

    def values(name: str) -> list[float]:
        return [value for n, value in seen if n == name]

    assert values("opened") == values("resumed") == [1]
    assert sum(values("audio_s")) == pytest.approx(SCRIPT.length / 16_000)
    assert values("first_partial_s") == [pytest.approx(0.35, abs=0.06)]
    assert values("final_s") == [pytest.approx(0.65, abs=0.06)]
    assert values("answer_s") == [0.0] * len(scene.decoded)
