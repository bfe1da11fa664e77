"""Models beside the default: loaded, dropped, and decoded each by itself."""

import asyncio
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from tests.small_model import SMALL_MODEL_CLIPS, SMALL_MODEL_INT8
from tests.unit.serving.transcriber.echo import AT_ONCE, LIMIT_S, EchoDecoder, ListedSource, job, run, until

from voxray.audio import decode
from voxray.errors import ModelError, ServiceError
from voxray.serving.model_sources import ModelSources
from voxray.serving.protocol import Answer, ModelsInUse, Preload, SessionError
from voxray.serving.settings import ServiceArgs
from voxray.serving.transcriber.decoder import Decoder
from voxray.serving.transcriber.loading import COPIES, EngineLoader
from voxray.serving.transcriber.models import ModelCache, ModelFiles
from voxray.serving.transcriber.service import DecodeService
from voxray.whisper.ctranslate import CTranslate2Engine


@dataclass
class EchoLoader:
    """Loads echoes, with weights of one byte; `most` were in memory at once. `gate` holds its threads up.

    `folder` has the folders of the models that were not deleted.
    """

    sizes: Mapping[str, int] = field(default_factory=dict)
    broken: Sequence[str] = ()
    gate: threading.Event = field(default_factory=threading.Event)
    loads: list[str] = field(default_factory=list)
    most: int = 0
    decoders: list[EchoDecoder] = field(default_factory=list)
    folder: Path = Path()

    def __post_init__(self) -> None:
        self.gate.set()

    def files(self, name: str) -> ModelFiles:
        if name in self.broken:
            raise ModelError(f"{name}: expected weights,\ngot none.")
        return ModelFiles(self.folder / name, self.sizes.get(name, 1))

    def load(self, files: ModelFiles) -> EchoDecoder:
        self.loads.append(files.folder.name)
        assert self.gate.wait(LIMIT_S)
        decoder = EchoDecoder()
        self.decoders.append(decoder)
        self.most = max(self.most, sum(not d.closed for d in self.decoders))
        return decoder

    def cache(self, count: int = 2, bytes: int = 10) -> ModelCache:
        return ModelCache(self, count=count, bytes=bytes)


async def load(cache: ModelCache, *names: str) -> None:
    for name in names:
        (await cache.load(name)).release()


def test_the_model_that_was_used_longest_ago_makes_room() -> None:
    async def test() -> None:
        loader = EchoLoader()
        cache = loader.cache()
        await load(cache, "a", "b")
        cache.find("a")
        await load(cache, "c")

        assert list(cache.descriptions) == ["a", "c"]
        assert cache.find("b") is None
        assert loader.most == 2

    run(test)


@pytest.mark.parametrize(("bytes", "kept"), [(10, ["a", "b", "c"]), (9, ["b", "c"]), (4, ["c"])])
def test_weights_are_bounded_too(bytes: int, kept: list[str]) -> None:
    async def test() -> None:
        cache = EchoLoader({"a": 3, "b": 3, "c": 4}).cache(count=9, bytes=bytes)
        await load(cache, "a", "b", "c")

        assert list(cache.descriptions) == kept

    run(test)


def test_a_model_that_has_no_room_even_alone_is_an_error() -> None:
    async def test() -> None:
        cache = EchoLoader({"big": 11}).cache()
        await load(cache, "a")
        with pytest.raises(ServiceError, match=r"model 'big': .* at most 10 bytes in all .* of 11 bytes"):
            await load(cache, "big")
        with pytest.raises(ServiceError, match="expected the default model"):
            await load(ModelCache(), "a")

        assert list(cache.descriptions) == ["a"]

    run(test)


def test_a_model_in_use_is_dropped_once_its_jobs_are_done() -> None:
    async def test() -> None:
        loader = EchoLoader()
        cache = loader.cache(count=1)
        used = await cache.load("a")
        loading = asyncio.create_task(cache.load("b"))
        await until(lambda: cache.find("a") is None)
        assert loader.loads == ["a"]
        used.release()
        await loading

        assert list(cache.descriptions) == ["b"]
        assert loader.most == 1

    run(test)


@pytest.fixture
def kept_files(tmp_path: Path) -> EchoLoader:
    """A loader of models whose files are there."""
    for name in "abcxyz":
        (tmp_path / name).mkdir()
    return EchoLoader(folder=tmp_path)


@pytest.mark.parametrize(
    ("in_use", "deleted", "kept"),
    [
        ("", "", "bc"),
        ("a", "", "ac"),
        ("ab", "", "bc"),  # a model is needed more than memory can hold: they take turns
        ("ab", "a", "ac"),
        ("ab", "ab", "bc"),
        ("b", "b", "bc"),
    ],
)
def test_models_of_live_sessions_stay_and_of_these_first_what_cannot_be_loaded_again(
    kept_files: EchoLoader, in_use: str, deleted: str, kept: str
) -> None:
    async def test() -> None:
        cache = kept_files.cache()
        await load(cache, "a", "b")
        cache.use(1, frozenset(in_use))
        for name in deleted:
            (kept_files.folder / name).rmdir()
        await load(cache, "c")

        assert list(cache.descriptions) == list(kept)

    run(test)


def test_each_lease_speaks_for_its_own_sessions(kept_files: EchoLoader) -> None:
    async def test() -> None:
        cache = kept_files.cache()
        await load(cache, "a", "b")
        cache.use(1, frozenset("a"))
        cache.use(2, frozenset("ab"))
        cache.use(2, frozenset())
        await load(cache, "c")
        assert list(cache.descriptions) == ["a", "c"]
        cache.end_lease(1)
        await load(cache, "b")
        assert list(cache.descriptions) == ["c", "b"]

    run(test)


def test_a_deleted_model_is_loaded_as_long_as_sessions_use_it_and_then_goes(kept_files: EchoLoader) -> None:
    async def test() -> None:
        source = ListedSource()
        service = DecodeService(EchoDecoder(), AT_ONCE, models=kept_files.cache())
        serving = asyncio.create_task(service.serve(source, 1))
        source.put(ModelsInUse(frozenset("x")), Preload("s", "x"))
        await until(lambda: "x" in service.descriptions)
        (kept_files.folder / "x").rmdir()
        for number, name in enumerate("yzy"):
            source.put(job(name, number, model=name), job("s", number, model="x"))
            await until(lambda n=number: len(source.texts) == 2 * (n + 1))  # type: ignore[misc]  # a default binds it
        assert {"x", "y"} <= {*service.descriptions}
        source.put(ModelsInUse(frozenset()))
        await until(lambda: "x" not in service.descriptions)
        await until(lambda: kept_files.decoders[0].closed)

        assert kept_files.loads.count("x") == 1
        assert "y" in service.descriptions
        await service.close()
        await serving

    run(test)


def test_how_long_a_model_took_to_load_is_observed() -> None:
    async def test() -> None:
        seen = list[str]()
        loader = EchoLoader(broken=["b"])
        cache = ModelCache(loader, lambda name, value: seen.append(f"{name} {value >= 0}"), count=1, bytes=1)
        await load(cache, "a", "a")
        with pytest.raises(ServiceError):
            await load(cache, "b")

        assert seen == ["model_load_s True"]

    run(test)


def test_who_asks_meanwhile_waits_for_the_same_load_also_when_the_first_has_gone() -> None:
    async def test() -> None:
        loader = EchoLoader()
        loader.gate.clear()
        cache = loader.cache()
        first, second = (asyncio.create_task(cache.load("a")) for _ in range(2))
        await until(lambda: loader.loads)
        first.cancel()
        loader.gate.set()
        await second

        assert loader.loads == ["a"]
        assert cache.find("a")

    run(test)


def test_a_model_that_failed_is_tried_again_when_it_is_asked_for_again() -> None:
    async def test() -> None:
        loader = EchoLoader(broken=["a"])
        cache = loader.cache()
        with pytest.raises(ServiceError, match=r"model 'a': .* got an error: a: expected weights, got none"):
            await load(cache, "a")
        loader.broken = ()
        await load(cache, "a")

        assert cache.find("a")

    run(test)


def test_batches_never_mix_models() -> None:
    async def test() -> None:
        default, loader, source = EchoDecoder(), EchoLoader(), ListedSource()
        service = DecodeService(default, AT_ONCE, models=loader.cache())
        serving = asyncio.create_task(service.serve(source, 1))
        source.put(*(job(f"{model}{i}.", model=model) for i in range(3) for model in ("x", "y", None)))
        await until(lambda: len(source.answers) == 9)

        assert sorted(source.texts) == sorted(f"{m}{i}.0" for i in range(3) for m in ("x", "y", None))
        assert {name[0] for call in default.calls for name in call} == {"N"}
        calls = [{name[0] for name in call} for decoder in loader.decoders for call in decoder.calls]
        assert sorted(map(sorted, calls)) == [["x"], ["y"]]
        await service.close()
        await serving

    run(test)


def test_sessions_of_other_models_go_on_while_one_is_loaded() -> None:
    async def test() -> None:
        loader, source = EchoLoader(), ListedSource()
        service = DecodeService(EchoDecoder(), AT_ONCE, models=loader.cache())
        serving = asyncio.create_task(service.serve(source, 1))
        loader.gate.clear()
        source.put(Preload("a", "x"), job("a", model="x"), job("a", 1, model="x"))
        for number in range(5):
            source.put(job("b", number))
            await until(lambda n=number: f"b{n}" in source.texts)  # type: ignore[misc]  # a default binds it
        assert Answer("a", 0, None) in source.answers  # a newer one came
        assert service.live_delay_s() == 0
        loader.gate.set()
        await until(lambda: "a1" in source.texts)

        assert loader.loads == ["x"]
        await service.close()
        await serving

    run(test)


@pytest.mark.parametrize("asked", [Preload("a", "broken"), job("a", model="broken")])
def test_a_model_that_cannot_be_loaded_is_told_to_its_sessions_alone(asked: Preload) -> None:
    async def test() -> None:
        source = ListedSource()
        service = DecodeService(EchoDecoder(), AT_ONCE, models=EchoLoader(broken=["broken"]).cache())
        serving = asyncio.create_task(service.serve(source, 1))
        source.put(asked, job("b"))
        await until(lambda: len(source.answers) == 2)

        [told] = [a for a in source.answers if a.session == "a"]
        assert told.error
        assert told.error.code == "model_unavailable"
        assert told.error.message.startswith("model 'broken': expected one that can be loaded")
        assert source.texts == ["b0"]
        with pytest.raises(ServiceError, match="model 'broken'"):
            await service.transcribe([np.zeros(1, np.int16)], model="broken")
        await service.close()
        await serving

    run(test)


@pytest.mark.parametrize("loaded", [False, True])
def test_a_language_that_the_model_does_not_know_is_told_before_anything_is_decoded(loaded: bool) -> None:
    async def test() -> None:
        source, cache = ListedSource(), EchoLoader().cache()
        if loaded:
            await load(cache, "x")
        service = DecodeService(EchoDecoder(), AT_ONCE, models=cache)
        serving = asyncio.create_task(service.serve(source, 1))
        source.put(Preload("a", "x", "de"), Preload("b", "x", "en"), job("a", model="x"), job("b", model="x"))
        await until(lambda: len(source.answers) == 3)

        told = SessionError("bad_message", "language: expected one that the model knows (en), got 'de'.")
        assert source.answers[0] == Answer("a", 0, None, error=told)
        assert sorted(source.texts) == ["a0", "b0"]
        await service.close()
        await serving

    run(test)


def test_more_models_than_there_is_room_for_take_turns() -> None:
    async def test() -> None:
        loader, source = EchoLoader(), ListedSource()
        service = DecodeService(EchoDecoder(), AT_ONCE, models=loader.cache(count=1))
        serving = asyncio.create_task(service.serve(source, 1))
        names = "xyz"
        for number in range(3):
            source.put(*(job(name, number, model=name) for name in names))
            await until(lambda n=number: len(source.texts) == 3 * (n + 1))  # type: ignore[misc]  # a default binds it
        clips = [np.zeros(n, np.int16) for n in (1, 2)]
        assert [r.text for r in await service.transcribe(clips, model="x")] == ["1 None", "2 None"]

        assert sorted(source.texts) == sorted(f"{name}{n}" for name in names for n in range(3))
        assert loader.most == 1
        await service.close()
        await serving

    run(test)


def test_what_a_lost_lease_wanted_is_not_decoded_once_its_model_is_there() -> None:
    async def test() -> None:
        loader, lost = EchoLoader(), ListedSource()
        service = DecodeService(EchoDecoder(), AT_ONCE, models=loader.cache())
        loader.gate.clear()
        lost.put(job("a", model="x"))
        lost.handed.put_nowait(None)
        await service.serve(lost, 1)
        loader.gate.set()
        await until(lambda: "x" in service.descriptions)

        [decoder] = loader.decoders
        assert not decoder.calls
        assert not lost.answers
        await service.close()

    run(test)


def test_the_small_model_beside_itself_and_after_its_files_are_gone(tmp_path: Path) -> None:
    spoken = [decode(p) for p in sorted(SMALL_MODEL_CLIPS.glob("*.ogg"))[:2]]
    folder = shutil.copytree(SMALL_MODEL_INT8, tmp_path / "mine")
    args = ServiceArgs(
        model=str(SMALL_MODEL_INT8), models={"mine": str(folder), "gone": str(tmp_path / "no")}
    )
    loader = EngineLoader(ModelSources(args), "cpu", threads=1)

    async def test() -> None:
        engine = CTranslate2Engine(SMALL_MODEL_INT8, device="cpu", threads=1)
        cache = ModelCache(loader, count=1, bytes=100_000_000)
        service = DecodeService(Decoder(engine), models=cache)
        expected = [result.text for result in await service.transcribe(spoken)]
        described = loader.describe("mine", fetch=False)
        assert described
        assert not described.loaded
        await service.transcribe(spoken[:1], model="mine")
        assert service.descriptions["mine"] == Decoder(engine).description
        shutil.rmtree(folder)

        assert [r.text for r in await service.transcribe(spoken, model="mine")] == expected
        with pytest.raises(ServiceError, match=r"model 'gone': .* there is no such folder"):
            await service.transcribe(spoken, model="gone")
        with pytest.raises(ServiceError, match=r"model 'other': .* expected one of .*, mine, gone"):
            await service.transcribe(spoken, model="other")
        assert loader.describe("gone", fetch=False) is None
        await service.close()

    run(test)


def test_a_model_in_the_order_for_live_windows_leaves_no_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with subprocess.Popen("true") as ended:
        ended.wait()
    (tmp_path / f"{COPIES}{ended.pid}-killed" / "model").mkdir(parents=True)
    (tmp_path / f"{COPIES}{os.getpid()}-loading").mkdir()
    engine = EngineLoader(ModelSources(ServiceArgs()), "cpu", threads=1).engine(SMALL_MODEL_INT8)
    assert engine.tokens.start_first
    assert [path.name for path in tmp_path.iterdir()] == [f"{COPIES}{os.getpid()}-loading"]
