import copy
from typing import Any

import pytest
import torch
from tests.small_model.random_model import TWO_LAYERS, random_model

from voxray.whisper.encoder import decode_states, encode


@pytest.fixture(scope="module")
def model() -> Any:
    return random_model(**TWO_LAYERS)


def mel(frames: int, rows: int = 1) -> torch.Tensor:
    return torch.randn(rows, 80, frames, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_30_s_are_encoded_as_the_library_encodes_them(model: Any) -> None:
    ours, theirs = encode(model.model.encoder, mel(3000)), model.model.encoder(mel(3000)).last_hidden_state
    assert ours.shape == (1, 1500, 32)
    torch.testing.assert_close(ours, theirs)


@torch.no_grad()
@pytest.mark.parametrize("frames", [2, 100, 200, 650])
def test_a_short_window_is_encoded_at_its_own_length(model: Any, frames: int) -> None:
    states = encode(model.model.encoder, mel(frames, rows=2))
    assert states.shape == (2, frames // 2, 32)
    assert states.isfinite().all()


@torch.no_grad()
def test_a_short_window_has_the_first_positions_of_the_table(model: Any) -> None:
    """As a model whose table is no longer than the window, through the library's own forward."""
    short = random_model(**TWO_LAYERS, max_source_positions=100)
    weights = model.model.encoder.state_dict()
    weights["embed_positions.weight"] = weights["embed_positions.weight"][:100]
    short.model.encoder.load_state_dict(weights)
    theirs = short.model.encoder(mel(200)).last_hidden_state
    torch.testing.assert_close(encode(model.model.encoder, mel(200)), theirs)


def test_gradients_reach_the_encoder(model: Any) -> None:
    torch.autograd.backward(encode(model.model.encoder, mel(100)).sum())
    assert model.model.encoder.conv1.weight.grad.any()
    model.zero_grad()


def test_dropout_is_for_training(model: Any) -> None:
    with torch.no_grad():
        evaluated = [encode(model.model.encoder, mel(100)) for _ in range(2)]
        trained = [encode(model.model.encoder.train(), mel(100)) for _ in range(2)]
    model.eval()
    assert torch.equal(*evaluated)
    assert not torch.equal(*trained)


@torch.no_grad()
def test_decoder_states_times_the_vocabulary_are_the_librarys_logits(model: Any) -> None:
    ids = torch.tensor([[1025, 1026, 1126, 1130, 300, 301], [1025, 1026, 1126, 1130, 302, 1024]])
    states = encode(model.model.encoder, mel(3000, rows=2))
    hidden = decode_states(model.model.decoder, ids, states)
    assert hidden.shape == (2, 6, 32)
    theirs = model(mel(3000, rows=2), decoder_input_ids=ids).logits
    torch.testing.assert_close(model.proj_out(hidden), theirs)


@torch.no_grad()
def test_later_tokens_change_nothing_before(model: Any) -> None:
    states = encode(model.model.encoder, mel(100))
    short = decode_states(model.model.decoder, torch.tensor([[1025, 1026, 300]]), states)
    long = decode_states(model.model.decoder, torch.tensor([[1025, 1026, 300, 1024, 1024]]), states)
    torch.testing.assert_close(long[:, :3], short)


def test_dropped_layers_leave_the_last_one_alone(model: Any) -> None:
    """With every other layer dropped, what is left is the student that is cut out of the model."""
    decoder = copy.deepcopy(model.model.decoder)
    only_last = copy.deepcopy(decoder)
    only_last.layers = only_last.layers[-1:]
    inputs, states = torch.tensor([[1025, 1026, 5]]), torch.randn(1, 10, 32)
    with torch.no_grad():
        expected = decode_states(only_last, inputs, states)
        decoder.train()
        for module in decoder.modules():
            module.training = False  # dropout would hide the comparison
        decoder.training = True
        decoder.dropout = 0.0
        dropped = decode_states(decoder, inputs, states, layer_drop=1.0)
    torch.testing.assert_close(dropped, expected)
    assert len(decoder.layers) == 2


def test_no_layer_is_dropped_outside_training(model: Any) -> None:
    inputs, states = torch.tensor([[1025, 1026, 5]]), torch.randn(1, 10, 32)
    with torch.no_grad():
        whole = decode_states(model.model.decoder, inputs, states)
        torch.testing.assert_close(decode_states(model.model.decoder, inputs, states, layer_drop=1.0), whole)
