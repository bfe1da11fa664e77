"""JSONL manifests: both forms, paths, times, and lines that are wrong."""

import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxray.audio import SAMPLE_RATE, encode
from voxray.corpora.manifests import parse_line
from voxray.corpora.sources import list_corpus, load_clips
from voxray.corpora.splits import split_of
from voxray.errors import CorpusError
from voxray.transcript import Segment

MANIFEST = "/data/corpus/train.jsonl"


def parse(line: dict[str, Any], manifest: str = MANIFEST) -> Any:
    return parse_line(json.dumps(line), manifest, 7)


def test_the_first_form_has_times_sentences_and_a_language() -> None:
    item = parse(
        {
            "audio": {"path": "a/x.wav", "start_time": 1.5, "end_time": 4},
            "sentence": "Hello there.",
            "language": "de",
            "speaker": "anna",
            "sentences": [
                {"start": 0, "end": 1, "text": " Hello"},
                {"start": 1, "end": 2.5, "text": "there."},
            ],
            "duration": 2.5,
        }
    )
    assert (item.source, item.start_s, item.end_s) == ("/data/corpus/a/x.wav", 1.5, 4.0)
    assert (item.id, item.recording, item.text) == ("a/x#1.5-4", "a/x", "Hello there.")
    assert (item.language, item.split) == ("de", split_of("anna"))
    assert item.sentences == (Segment(0.0, 1.0, "Hello"), Segment(1.0, 2.5, "there."))


def test_nemos_form_is_a_stretch_of_its_duration() -> None:
    whole = parse({"audio_filepath": "/abs/x.wav", "text": "one", "duration": 2.0})
    part = parse({"audio_filepath": "/abs/x.wav", "text": "two", "duration": 2.0, "offset": 3.0})
    assert (whole.id, whole.source, whole.start_s, whole.end_s) == ("/abs/x", "/abs/x.wav", None, 2.0)
    assert (part.id, part.start_s, part.end_s, part.text) == ("/abs/x#3-5", 3.0, 5.0, "two")


def test_a_text_may_be_missing_or_stand_in_the_sentences() -> None:
    sentences = [{"start": 0, "end": 1, "text": "a"}, {"start": 1, "end": 2, "text": "b"}]
    assert parse({"audio": {"path": "x.wav"}}).text is None
    assert parse({"audio": {"path": "x.wav"}, "sentences": sentences}).text == "a b"


def test_an_empty_list_of_sentences_means_no_speech() -> None:
    assert parse({"audio": {"path": "x.wav"}, "sentence": "", "sentences": []}).no_speech
    assert not parse({"audio": {"path": "x.wav"}, "sentence": ""}).no_speech


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{", "expected a JSON object"),
        ("[1]", "expected a JSON object"),
        ('{"sentence": "x"}', "'audio': field required"),
        ('{"audio": {"path": ""}}', "'audio.path'"),
        ('{"audio": {"path": "x", "start_time": -1}}', "'audio.start_time'"),
        (
            '{"audio": {"path": "x", "start_time": 3, "end_time": 2}}',
            "an end after the start, got 3 to 2 s",
        ),
        ('{"audio_filepath": "x", "duration": NaN}', "'audio.end_time': input should be a finite"),
        ('{"audio_filepath": "x", "duration": "long", "offset": "no"}', "'audio.start_time'"),
        ('{"audio": {"path": "x"}, "sentences": [{"start": 0}]}', "'sentences.0.end'"),
        ('{"audio": {"path": "x"}, "split": "holdout"}', "got 'holdout'"),
        ('{"audio": {"path": "x"}, "language": "Germn"}', "'language': expected a language"),
    ],
)
def test_a_wrong_line_is_named_by_its_number_and_key(line: str, complaint: str) -> None:
    with pytest.raises(CorpusError, match=r"train\.jsonl line 7: ") as caught:
        parse_line(line, MANIFEST, 7)
    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    ("given", "code"), [("Chinese", "zh"), ("en-US", "en"), ("EN", "en"), ("auto", None), ("", None)]
)
def test_a_language_is_kept_as_its_code(given: str, code: str | None) -> None:
    assert parse({"audio": {"path": "x.wav"}, "language": given}).language == code
    assert parse({"audio_filepath": "x.wav", "duration": 1, "lang": given}).language == code


@pytest.mark.parametrize("key", ["text", "sentence", "transcription", "transcript", "normalized_text"])
def test_a_text_stands_under_any_of_its_usual_names(key: str) -> None:
    for audio in (
        {"audio": {"path": "x.wav"}},
        {"audio_filepath": "x.wav", "duration": 1},
        {"file_name": "x.wav"},
    ):
        assert parse({**audio, key: " one\u2028two "}).text == "one two"


@pytest.mark.parametrize(
    ("text", "expected"),
    [(None, None), (float("nan"), None), ("nan", "nan"), ("null", "null"), (12, "12"), ("", "")],
)
def test_a_missing_text_is_none_and_no_word_is_taken_for_one(text: object, expected: str | None) -> None:
    assert parse({"audio": {"path": "x.wav"}, "sentence": text}).text == expected
    assert parse({"audio_filepath": "x.wav", "duration": 1, "text": text}).text == expected


@pytest.mark.parametrize("indent", [None, 2])
def test_a_json_array_is_a_manifest_too(tmp_path: Path, indent: int | None) -> None:
    (tmp_path / "x.flac").write_bytes(encode(np.ones(800, np.int16)))
    good = {"audio": {"path": "x.flac"}, "sentence": "one"}
    (tmp_path / "m.json").write_text(json.dumps([good, {"sentence": "two"}], indent=indent))
    clips, rejected = load_clips(str(tmp_path / "m.json"))

    assert [c.text for c in clips] == ["one"]
    assert ["m.json line 2: 'audio': field required" in r.reason for r in rejected] == [True]
    (tmp_path / "m.json").write_text("[{]")
    with pytest.raises(CorpusError, match="expected a JSONL manifest, got one that cannot be read"):
        list_corpus(str(tmp_path / "m.json"))


@pytest.mark.parametrize("character", ["\u2028", "\u2029", "\x85", "\u00a0"])
def test_a_record_ends_with_its_line_and_not_inside_a_string(tmp_path: Path, character: str) -> None:
    (tmp_path / "x.flac").write_bytes(encode(np.ones(800, np.int16)))
    lines: list[dict[str, object]] = [
        {"audio": {"path": "x.flac"}, "sentence": f"one{character}two", "id": k} for k in "ab"
    ]
    lines.append(
        {"audio": {"path": "x.flac"}, "sentences": [{"start": 0, "end": 0.05, "text": f"a{character}b"}]}
    )
    text = "\r\n".join(json.dumps(line, ensure_ascii=False) for line in lines)
    (tmp_path / "m.jsonl").write_bytes(text.encode())
    clips, rejected = load_clips(str(tmp_path / "m.jsonl"))

    assert [c.text for c in clips] == ["one two", "one two", "a b"]
    assert rejected == []


@pytest.mark.parametrize("path", ["http://192.0.2.1/x.wav", "file:///etc/passwd", "s3://bucket/x.wav"])
def test_a_local_manifest_opens_no_urls(path: str) -> None:
    with pytest.raises(CorpusError, match="expected a path, got a URL"):
        parse({"audio": {"path": path}})


def test_a_manifest_under_a_url_opens_only_its_own_kind() -> None:
    manifest = "s3://bucket/corpus/train.jsonl"
    assert parse({"audio": {"path": "x.wav"}}, manifest).source == "s3://bucket/corpus/x.wav"
    assert parse({"audio": {"path": "s3://other/x.wav"}}, manifest).source == "s3://other/x.wav"
    for path in ("http://192.0.2.1/x.wav", "/etc/passwd"):
        with pytest.raises(CorpusError, match="expected a path"):
            parse({"audio": {"path": path}}, manifest)


@given(st.text(max_size=60) | st.recursive(st.none() | st.floats() | st.text(), st.lists).map(json.dumps))
def test_any_line_is_a_clip_or_a_corpus_error(line: str) -> None:
    with contextlib.suppress(CorpusError):
        assert parse_line(line, MANIFEST).id


def test_stretches_of_one_recording_are_cut_from_it_and_bad_lines_are_listed(tmp_path: Path) -> None:
    pcm = np.arange(2 * SAMPLE_RATE, dtype=np.int16)
    (tmp_path / "x.flac").write_bytes(encode(pcm))
    lines = [
        {"audio": {"path": "x.flac", "start_time": 0.5, "end_time": 1.0}, "sentence": "a"},
        {"audio": {"path": "x.flac", "start_time": 1.0}, "sentence": "b"},
        {"audio": {"path": "x.flac", "start_time": 3.0}, "sentence": "too late"},
        {"audio_filepath": "x.flac", "text": "cut off", "duration": 9.0},
        {"audio": {"path": "x.flac"}, "sentence": "", "sentences": []},
        {"audio": {"path": "x.flac"}, "sentence": "the same clip again"},
        {"audio": {"path": "gone.flac"}, "sentence": "missing"},
    ]
    manifest = tmp_path / "m.jsonl"
    manifest.write_text("\n".join([*map(json.dumps, lines), "", "{broken"]) + "\n")
    clips, rejected = load_clips(str(manifest))
    assert [c.text for c in clips] == ["a", "b"]
    np.testing.assert_array_equal(clips[0].pcm, pcm[SAMPLE_RATE // 2 : SAMPLE_RATE])
    np.testing.assert_array_equal(clips[1].pcm, pcm[SAMPLE_RATE:])
    listed = "\n".join(r.reason for r in rejected)
    for word in ("line 9", "one clip per uid", "got 2.00 s of it", "No such file"):
        assert word in listed


def test_clips_have_their_sentences_their_task_and_the_text_before_them(tmp_path: Path) -> None:
    (tmp_path / "x.flac").write_bytes(encode(np.ones(4 * SAMPLE_RATE, np.int16)))
    sentences = [{"start": 0.25, "end": 0.75, "text": "one"}, {"start": 1, "end": 2, "text": "two"}]
    lines: list[dict[str, Any]] = [
        {"audio": {"path": "x.flac", "end_time": 2.0, "start_time": 0}, "sentences": sentences},
        {"audio": {"path": "x.flac", "start_time": 2.0}, "sentence": "drei", "task": "translate"},
    ]
    (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, lines)))
    first, second = load_clips(str(tmp_path / "m.jsonl"))[0]
    assert first.segments == (Segment(0.25, 0.75, "one"), Segment(1.0, 2.0, "two"))
    assert (first.previous, first.task) == ("", "transcribe")
    assert (second.previous, second.task, second.segments) == ("one two", "translate", ())
    with pytest.raises(CorpusError, match="'task': input should be 'transcribe' or 'translate'"):
        parse({"audio": {"path": "x.flac"}, "task": "asr"})


def test_stretches_of_one_recording_have_one_split() -> None:
    stretches = ({"audio_filepath": "x.wav", "duration": 1, "offset": k, "id": f"{k}"} for k in range(30))
    assert {parse(line).split for line in stretches} == {split_of("x")}


def test_a_clip_without_speech_counts_as_having_its_text(tmp_path: Path) -> None:
    (tmp_path / "x.flac").write_bytes(encode(np.zeros(800, np.int16)))
    (tmp_path / "m.jsonl").write_text('{"audio": {"path": "x.flac"}, "sentence": "", "sentences": []}\n')
    clips, rejected = load_clips(str(tmp_path / "m.jsonl"), need_text=True)
    assert ([c.text for c in clips], rejected) == ([""], [])


def test_a_manifest_without_one_good_line_gives_what_is_wrong_in_it(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text("not json\n")
    with pytest.raises(CorpusError, match=r"got none that can be used: .*line 1: expected a JSON object"):
        list_corpus(str(tmp_path / "m.jsonl"))
