"""The service around the scheduler, with a decoder that echoes its input, and once with the real one."""

import asyncio
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.small_model import SMALL_MODEL_CLIPS, SMALL_MODEL_INT8
from tests.unit.serving.transcriber.echo import AT_ONCE, LIMIT_S, EchoDecoder, ListedSource, job, run, until

from voxray.audio import SAMPLE_RATE, Pcm, decode
from voxray.errors import AudioError, ServiceError
from voxray.serving.protocol import Answer, Job
from voxray.serving.transcriber.decoder import Decoder
from voxray.serving.transcriber.scheduler import SchedulerOptions
from voxray.serving.transcriber.service import DecodeService
from voxray.streaming.events import DecodeMode
from voxray.whisper.ctranslate import CTranslate2Engine
from voxray.whisper.engines import DecodingOptions

REQUESTS = st.lists(
    st.tuples(st.integers(0, 1), st.sampled_from("abc"), st.sampled_from(list(DecodeMode)), st.booleans()),
    min_size=1,
    max_size=25,
)


@given(
    REQUESTS,
    st.lists(st.sampled_from([0.0, 0.001, 0.003]), min_size=1, max_size=4),
    st.integers(1, 4),
    st.integers(1, 3),
)
def test_each_job_is_answered_once_and_none_twice_at_a_time(
    requests: list[tuple[int, str, DecodeMode, bool]], latencies_s: list[float], max_batch: int, workers: int
) -> None:
    decoder = EchoDecoder(latencies_s)

    async def test() -> None:
        sources = [ListedSource(), ListedSource()]
        options = SchedulerOptions(max_batch=max_batch, fill_s=0.001)
        service = DecodeService(decoder, options, workers=workers)
        serving = [asyncio.create_task(service.serve(s, 1)) for s in sources]
        asked: list[list[Job]] = [[], []]
        for number, (at, session, mode, pauses) in enumerate(requests):
            asked[at].append(job(f"{session}{at}.", number, mode))
            sources[at].put(asked[at][-1])
            if pauses:
                await asyncio.sleep(0.001)
        await until(lambda: all(len(s.answers) >= len(a) for s, a in zip(sources, asked, strict=True)))
        await service.close()
        await asyncio.gather(*serving)
        for source, jobs in zip(sources, asked, strict=True):
            _check_answers(source.answers, jobs)

    run(test)


def _check_answers(answers: list[Answer], jobs: list[Job]) -> None:
    assert Counter((a.session, a.number) for a in answers) == Counter((j.session, j.number) for j in jobs)
    for session in {j.session for j in jobs}:
        own = [a for a in answers if a.session == session]
        decoded = [a.number for a in own if a.hypothesis]
        assert [a.hypothesis.text for a in own if a.hypothesis] == [f"{session}{n}" for n in decoded]
        assert decoded == sorted(decoded)
        assert decoded[-1] == max(j.number for j in jobs if j.session == session)  # never superseded


def test_workers_decode_batches_side_by_side() -> None:
    async def test() -> None:
        source, decoder = ListedSource(), EchoDecoder()
        decoder.gate.clear()
        service = DecodeService(decoder, AT_ONCE, workers=2)
        serving = asyncio.create_task(service.serve(source, 1))
        source.put(job("a"), job("b", mode=DecodeMode.FALLBACK))  # of two groups
        await until(lambda: len(decoder.calls) == 2)
        clips = asyncio.create_task(service.transcribe([np.zeros(1, np.int16)]))
        source.put(job("c"))
        await asyncio.sleep(0)
        assert len(decoder.calls) == 2
        assert service.stuck_s() > 0
        decoder.gate.set()
        assert [result.text for result in await clips] == ["1 None"]
        await until(lambda: sorted(source.texts) == ["a0", "b0", "c0"])
        await service.close()
        await serving
        assert service.stuck_s() == 0

    run(test)


def test_a_newer_job_replaces_the_queued_one() -> None:
    decoder = EchoDecoder()
    seen: list[tuple[str, float]] = []

    async def test() -> None:
        source = ListedSource()
        service = DecodeService(decoder, AT_ONCE, lambda name, value: seen.append((name, value)))
        serving = asyncio.create_task(service.serve(source, 1))
        decoder.gate.clear()
        source.put(job("a", 0))
        await until(lambda: decoder.calls)
        source.put(job("a", 1), job("a", 2), job("b", 0))
        await until(lambda: source.answers)
        assert source.answers == [Answer("a", 1, None)]
        assert service.delay_s() > 0
        decoder.gate.set()
        await until(lambda: len(source.answers) == 4)
        assert service.delay_s() == 0
        assert decoder.calls in ([["a0"], ["a2", "b0"]], [["a0"], ["b0", "a2"]])
        await service.close()
        await serving

    run(test)
    counts = Counter(name for name, _ in seen)
    assert counts == {"superseded": 1, "queue_delay_s": 3, "batch_size": 2, "decode_s": 2}
    assert [v for name, v in seen if name == "batch_size"] == [1, 2]
    assert all(v >= 0 for _, v in seen)


def test_sessions_of_two_sources_are_two_though_they_are_called_the_same() -> None:
    async def test() -> None:
        decoder = EchoDecoder()
        sources = [ListedSource(), ListedSource()]
        service = DecodeService(decoder, SchedulerOptions(max_batch=1))
        decoder.gate.clear()
        serving = [asyncio.create_task(service.serve(s, 5)) for s in sources]
        sources[0].put(job("busy"))
        await until(lambda: decoder.calls)
        for source in sources:
            source.put(job("a"))
        await until(lambda: all(s.takes >= 2 for s in sources))
        decoder.gate.set()
        await until(lambda: [s.texts for s in sources] == [["busy0", "a0"], ["a0"]])
        await service.close()
        await asyncio.gather(*serving)

    run(test)


def test_a_source_that_takes_its_answers_slowly_delays_no_other_and_gets_them_in_order() -> None:
    async def test() -> None:
        slow, quick = ListedSource(), ListedSource()
        service = DecodeService(EchoDecoder(), AT_ONCE)
        serving = [asyncio.create_task(service.serve(s, 1)) for s in (slow, quick)]
        slow.open.clear()
        for number in range(4):
            slow.put(job("a", number))
            quick.put(job("b", number))
            await until(lambda n=number: len(quick.answers) == n + 1 and slow.handed.empty())  # type: ignore[misc]  # a default binds it
        assert slow.texts == ["a0"]
        slow.open.set()
        await until(lambda: len(slow.answers) == 4)
        assert [a.number for a in slow.answers] == [0, 1, 2, 3]
        assert len(slow.delivered) == 2
        await service.close()
        await asyncio.gather(*serving)

    run(test)


def test_a_batch_that_fails_fails_its_jobs_and_the_next_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        source = ListedSource()
        service = DecodeService(EchoDecoder(wrong={"bad"}), AT_ONCE)
        serving = asyncio.create_task(service.serve(source, 1))
        source.put(job("bad"))
        await until(lambda: source.answers)
        assert service.failed_batches == 1
        source.put(job("good"), job("bad", 1, DecodeMode.FALLBACK))
        await until(lambda: len(source.answers) == 3)
        assert source.texts == ["good0"]
        bad = [a for a in source.answers if a.session == "bad"]
        assert [(a.number, a.hypothesis) for a in bad] == [(0, None), (1, None)]
        source.put(job("good", 1))
        await until(lambda: source.texts == ["good0", "good1"])
        assert service.failed_batches == 0
        await service.close()
        await serving

    run(test)
    assert "a batch of 1 could not be decoded" in caplog.text
    assert "out of memory" in caplog.text


@pytest.mark.parametrize("end", [None, ConnectionError("the host died")])
def test_a_lease_that_is_over_leaves_nothing_queued(
    end: Exception | None, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        decoder = EchoDecoder()
        ending, staying = ListedSource(), ListedSource()
        service = DecodeService(decoder, SchedulerOptions(max_batch=1))
        lives = asyncio.create_task(service.serve(staying, 1))
        decoder.gate.clear()
        staying.put(job("a"))
        await until(lambda: decoder.calls)
        ending.put(job("b"), job("c"))
        ending.handed.put_nowait(end)
        await service.serve(ending, 1)
        staying.put(job("d"))
        decoder.gate.set()
        await until(lambda: staying.texts == ["a0", "d0"])
        assert decoder.calls == [["a0"], ["d0"]]
        await service.close()
        await lives

    run(test)
    assert ("the host died" in caplog.text) == (end is not None)


def test_what_runs_when_a_lease_is_given_back_is_delivered() -> None:
    async def test() -> None:
        decoder = EchoDecoder()
        source = ListedSource()
        service = DecodeService(decoder, SchedulerOptions(max_batch=1))
        serving = asyncio.create_task(service.serve(source, 1))
        decoder.gate.clear()
        source.put(job("a"), job("b"))
        await until(lambda: decoder.calls)
        source.handed.put_nowait(None)
        await until(lambda: service.live_delay_s() == 0)  # what was queued is dropped
        assert not serving.done()
        decoder.gate.set()
        await serving

        assert (source.texts, decoder.calls) == (["a0"], [["a0"]])
        await service.close()

    run(test)


def test_a_decode_that_hangs_does_not_hold_a_lease_that_is_given_back() -> None:
    async def test() -> None:
        decoder = EchoDecoder()
        source = ListedSource()
        service = DecodeService(decoder, AT_ONCE, released_s=0.01)
        serving = asyncio.create_task(service.serve(source, 1))
        decoder.gate.clear()
        source.put(job("a"))
        await until(lambda: decoder.calls)
        source.handed.put_nowait(None)
        await serving

        assert source.answers == []
        decoder.gate.set()
        await service.close()

    run(test)


@pytest.mark.parametrize("of_file", [False, True])
def test_how_long_the_thread_has_been_at_something_can_be_asked(of_file: bool) -> None:
    async def test() -> None:
        decoder = EchoDecoder()
        source = ListedSource()
        service = DecodeService(decoder, AT_ONCE)
        serving = asyncio.create_task(service.serve(source, 1))
        assert service.stuck_s() == 0
        decoder.gate.clear()
        results = asyncio.create_task(service.transcribe(clips(1) if of_file else []))
        if not of_file:
            source.put(job("a"))
        await until(lambda: decoder.calls and service.stuck_s() > 0.01)
        decoder.gate.set()
        await until(lambda: service.stuck_s() == 0)
        await results
        await service.close()
        await serving

    run(test)


def test_files_that_wait_are_no_live_delay() -> None:
    async def test() -> None:
        decoder = EchoDecoder()
        service = DecodeService(decoder, AT_ONCE)
        decoder.gate.clear()
        results = asyncio.create_task(service.transcribe(clips(1)))
        await until(lambda: decoder.calls)
        other = asyncio.create_task(service.transcribe(clips(2)))
        await until(lambda: service.delay_s() > 0)
        assert service.live_delay_s() == 0
        decoder.gate.set()
        await asyncio.gather(results, other)
        await service.close()

    run(test)


def test_a_source_that_cannot_be_delivered_to_is_left() -> None:
    class Gone(ListedSource):
        async def deliver(self, lease: int, answers: list[Answer]) -> None:
            raise ConnectionError("the host died")

    async def test() -> None:
        source = Gone()
        service = DecodeService(EchoDecoder())
        source.put(job("a"))
        await service.serve(source, 1)
        await service.close()

    run(test)


def test_draining_delivers_what_runs_and_takes_nothing_more() -> None:
    async def test() -> None:
        decoder = EchoDecoder()
        source = ListedSource()
        service = DecodeService(decoder, SchedulerOptions(max_batch=1))
        serving = asyncio.create_task(service.serve(source, 1))
        decoder.gate.clear()
        source.put(job("a"))
        await until(lambda: decoder.calls)
        source.put(job("b"))
        await until(lambda: source.takes == 3)
        source.open.clear()

        service.drain()
        decoder.gate.set()
        await until(lambda: source.answers)
        assert not serving.done()  # it is not delivered yet
        source.open.set()
        await serving

        assert (source.texts, decoder.calls, source.takes) == (["a0"], [["a0"]], 3)
        await service.serve(source, 2)
        assert source.takes == 3
        assert [h.text for h in await service.transcribe([np.zeros(3, np.int16)])] == ["3 None"]
        await service.close()

    run(test)


def test_a_lease_whose_caller_gives_up_leaves_nothing_queued() -> None:
    async def test() -> None:
        decoder = EchoDecoder()
        source = ListedSource()
        service = DecodeService(decoder, SchedulerOptions(max_batch=1))
        serving = asyncio.create_task(service.serve(source, 1))
        decoder.gate.clear()
        source.put(job("a"), job("b"))
        await until(lambda: decoder.calls)
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        decoder.gate.set()
        await service.close()
        assert decoder.calls == [["a0"]]

    run(test)


def clips(*lengths: int) -> list[Pcm]:
    return [np.zeros(n, np.int16) for n in lengths]


def test_clips_of_a_file_are_transcribed_in_their_order() -> None:
    async def test() -> None:
        service = DecodeService(EchoDecoder())
        results = await service.transcribe(clips(1, 2, 3), DecodingOptions(language="en"))
        assert [h.text for h in results] == ["1 en", "2 en", "3 en"]
        assert await service.transcribe([]) == []
        await service.close()

    run(test)


def test_a_file_that_cannot_be_transcribed_fails_alone() -> None:
    async def test() -> None:
        service = DecodeService(EchoDecoder())
        for wrong in (clips(13), clips(31 * SAMPLE_RATE)):
            with pytest.raises(AudioError):
                await service.transcribe(wrong)
        assert len(await service.transcribe(clips(1))) == 1
        await service.close()

    run(test)


@pytest.mark.parametrize(
    ("patience_s", "order"),
    [(LIMIT_S, "a0 b0 c0 clip clip clip"), (0.0, "a0 clip b0 clip c0 clip")],
    ids=["files wait", "files have waited long"],
)
def test_a_batch_waits_for_one_batch_of_a_file_at_most(patience_s: float, order: str) -> None:
    async def test() -> None:
        decoder = EchoDecoder()
        source = ListedSource()
        options = SchedulerOptions(max_batch=1, fill_s=0.0)
        service = DecodeService(decoder, options, file_patience_s=patience_s)
        serving = asyncio.create_task(service.serve(source, 1))
        decoder.gate.clear()
        source.put(job("a"))
        await until(lambda: decoder.calls)
        source.put(job("b"), job("c"))
        files = [asyncio.create_task(service.transcribe(clips(n))) for n in (1, 2, 3)]
        await until(lambda: source.takes == 3 and len(service._files) == 3)
        decoder.gate.set()
        await asyncio.gather(*files)
        assert [c.split()[0] for [c] in decoder.calls] == order.split()
        await service.close()
        await serving

    run(test)


def test_a_file_that_no_caller_waits_for_is_not_transcribed() -> None:
    async def test() -> None:
        decoder = EchoDecoder()
        service = DecodeService(decoder)
        decoder.gate.clear()
        first, second = (asyncio.create_task(service.transcribe(clips(n))) for n in (1, 2))
        await until(lambda: decoder.calls and service._files)
        assert service.delay_s() > 0
        second.cancel()
        decoder.gate.set()
        await first
        assert [h.text for h in await service.transcribe(clips(3))] == ["3 None"]
        assert decoder.calls == [["clip 1"], ["clip 3"]]
        await service.close()

    run(test)


def test_closing_ends_what_is_at_work_and_refuses_the_rest() -> None:
    async def test() -> None:
        decoder = EchoDecoder()
        service = DecodeService(decoder)
        decoder.gate.clear()
        first, second = (asyncio.create_task(service.transcribe(clips(n))) for n in (1, 2))
        await until(lambda: decoder.calls)
        closing = asyncio.create_task(service.close())
        await asyncio.sleep(0)
        decoder.gate.set()
        await closing
        assert len(await first) == 1
        with pytest.raises(ServiceError, match="closed"):
            await second
        with pytest.raises(ServiceError, match="closed"):
            await service.transcribe(clips(1))
        with pytest.raises(ServiceError, match="closed"):
            await service.serve(ListedSource(), 1)
        await service.close()

    run(test)


def test_a_service_that_fails_lets_go_of_its_sources() -> None:
    def observe(name: str, value: float) -> None:
        raise ZeroDivisionError(name)

    async def test() -> None:
        source = ListedSource()
        service = DecodeService(EchoDecoder(), observe=observe)
        source.put(job("a"))
        await service.serve(source, 1)
        with pytest.raises(ServiceError):
            await service.serve(source, 1)
        with pytest.raises(ZeroDivisionError):
            await service.close()

    run(test)


def test_live_windows_and_files_share_the_small_model() -> None:
    spoken = [decode(p) for p in sorted(SMALL_MODEL_CLIPS.glob("*.ogg"))[:6]]

    async def test() -> None:
        engine = CTranslate2Engine(SMALL_MODEL_INT8, device="cpu", threads=1)
        service = DecodeService(Decoder(engine))
        source = ListedSource()
        serving = asyncio.create_task(service.serve(source, 1))
        source.put(*(job(str(i), pcm=c.tobytes()) for i, c in enumerate(spoken)))
        of_file = await service.transcribe(spoken)
        await until(lambda: len(source.answers) == len(spoken))
        answers = sorted(source.answers, key=lambda a: a.session)
        assert [a.hypothesis.text for a in answers if a.hypothesis] == [h.text for h in of_file]
        await service.close()
        await serving

    run(test)
