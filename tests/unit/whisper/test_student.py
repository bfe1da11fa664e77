from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.small_model.random_model import TWO_LAYERS, random_model

from voxray.errors import ModelError
from voxray.whisper.checkpoint import parameters
from voxray.whisper.student import layer_indices, make_student, spread, student_heads


@pytest.fixture(scope="module")
def teacher() -> Any:
    """Random weights, three encoder and four decoder layers of two heads."""
    layers = {"encoder_layers": 3, "decoder_layers": 4}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
    model = random_model(**TWO_LAYERS | layers | heads, init_std=0.3)
    model.generation_config.alignment_heads = [[1, 0], [3, 1], [0, 1]]
    return model


@pytest.mark.parametrize(
    ("total", "kept", "indices"),
    [(32, 2, [0, 31]), (32, 4, [0, 10, 20, 31]), (32, 1, [31]), (4, 4, [0, 1, 2, 3]), (4, 3, [0, 1, 3])],
)
def test_the_layers_of_distil_whisper(total: int, kept: int, indices: list[int]) -> None:
    assert spread(total, kept) == indices


@given(st.integers(1, 64), st.data())
def test_kept_layers_go_up_from_the_first_to_the_last(total: int, data: st.DataObject) -> None:
    kept = data.draw(st.integers(1, total))
    indices = spread(total, kept)
    assert len(indices) == kept
    assert indices[-1] == total - 1
    assert kept == 1 or indices[0] == 0
    assert all(a < b for a, b in pairwise(indices))


@pytest.mark.parametrize("kept", [0, -1, 5])
def test_counts_that_the_teacher_does_not_have_are_refused(kept: int) -> None:
    with pytest.raises(ModelError, match=f"expected 1 to 4, the teacher's, got {kept}"):
        spread(4, kept)


def test_negative_indices_count_from_the_end() -> None:
    assert layer_indices(4, [0, -1]) == [0, 3]
    assert layer_indices(4, [-4, -2]) == [0, 2]
    assert layer_indices(32, 2) == [0, 31]


@pytest.mark.parametrize("wanted", [[4], [0, -5], []])
def test_indices_that_the_teacher_does_not_have_are_refused(wanted: list[int]) -> None:
    with pytest.raises(ModelError, match="expected indices from -4 to 3"):
        layer_indices(4, wanted)


@pytest.mark.parametrize(
    ("wanted", "kept"), [(2, [0, 3]), ([0, -1], [0, 3]), ([-2], [2]), (1, [3]), (4, [0, 1, 2, 3])]
)
def test_the_students_layers_are_copies_of_the_named_ones(teacher: Any, wanted: Any, kept: list[int]) -> None:
    student = make_student(teacher, wanted)
    theirs, ours = teacher.state_dict(), student.state_dict()
    assert student.config.decoder_layers == len(student.model.decoder.layers) == len(kept)
    for name, value in ours.items():
        source = name
        if name.startswith("model.decoder.layers."):
            place, rest = name.removeprefix("model.decoder.layers.").split(".", 1)
            source = f"model.decoder.layers.{kept[int(place)]}.{rest}"
        assert torch.equal(value, theirs[source])
        assert value.data_ptr() != theirs[source].data_ptr()
    assert len(teacher.model.decoder.layers) == teacher.config.decoder_layers == 4


def test_encoder_layers_are_chosen_in_the_same_way(teacher: Any) -> None:
    student = make_student(teacher, 4, encoder_layers=[0, -1])
    layers = student.model.encoder.layers
    assert student.config.encoder_layers == len(layers) == 2
    for ours, its in zip(layers, (teacher.model.encoder.layers[i] for i in (0, 2)), strict=True):
        assert torch.equal(ours.fc1.weight, its.fc1.weight)
    assert len(make_student(teacher, 1).model.encoder.layers) == 3


def test_the_student_has_fewer_parameters_by_its_missing_layers(teacher: Any) -> None:
    layer = parameters(teacher.model.decoder.layers[0])
    assert parameters(teacher) - parameters(make_student(teacher, 1)) == 3 * layer


def test_the_student_stays_tied_to_its_own_embedding(teacher: Any) -> None:
    student = make_student(teacher, 2)
    assert student.proj_out.weight is student.model.decoder.embed_tokens.weight


@pytest.mark.parametrize("wanted", [1, [3, 1]])
def test_the_student_generates_with_its_cache_what_it_generates_without(teacher: Any, wanted: Any) -> None:
    student = make_student(teacher, wanted)
    torch.manual_seed(1)
    mel = torch.randn(1, 80, 3000)
    options = {"language": "en", "task": "transcribe", "max_new_tokens": 3}
    cached, plain = (student.generate(mel, use_cache=c, **options) for c in (True, False))
    assert torch.equal(cached, plain)
    assert cached.numel() > 1


def test_a_student_with_all_layers_is_its_teacher(teacher: Any) -> None:
    torch.manual_seed(1)
    mel, ids = torch.randn(1, 80, 3000), torch.tensor([[1025, 1026, 1126, 1130]])
    with torch.no_grad():
        ours, its = (m(mel, decoder_input_ids=ids).logits for m in (make_student(teacher, 4), teacher))
    assert torch.equal(ours, its)


def test_alignment_heads_of_layers_that_stay_are_renumbered_and_the_others_dropped(teacher: Any) -> None:
    heads = [[1, 0], [3, 1], [0, 1]]
    assert student_heads(heads, kept=[0, 3], per_layer=2) == [[1, 1], [0, 1]]
    assert make_student(teacher, 2).generation_config.alignment_heads == [[1, 1], [0, 1]]
    assert teacher.generation_config.alignment_heads == heads


def test_where_no_alignment_head_is_left_those_of_the_upper_half_stand_in() -> None:
    assert student_heads([[1, 0]], kept=[0, 3], per_layer=2) == [[1, 0], [1, 1]]
    assert student_heads([], kept=[3], per_layer=2) == [[0, 0], [0, 1]]


@given(
    st.lists(st.tuples(st.integers(0, 31), st.integers(0, 3))),
    st.lists(st.integers(0, 31), min_size=1, max_size=6, unique=True).map(sorted),
)
def test_no_alignment_head_names_a_layer_that_is_not_there(
    heads: list[tuple[int, int]], kept: list[int]
) -> None:
    found = student_heads(heads, kept, per_layer=4)
    assert found
    assert all(0 <= layer < len(kept) and 0 <= head < 4 for layer, head in found)


def test_what_the_teacher_generates_with_is_kept(teacher: Any) -> None:
    its, ours = teacher.generation_config.to_dict(), make_student(teacher, 2).generation_config.to_dict()
    changed = {k for k in its if its[k] != ours[k]}
    assert changed == {"alignment_heads"}
