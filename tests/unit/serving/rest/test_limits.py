import contextlib
import threading

import pytest

from voxray.audio import SAMPLE_RATE
from voxray.serving.api_error import ApiError
from voxray.serving.rest.limits import MemoryBudget, MemoryShare, Slots


def test_a_slot_is_free_again_when_its_user_goes() -> None:
    slots = Slots(1, "files")

    with slots.slot(), pytest.raises(ApiError, match="at most 1 files at once") as raised:
        slots.check()
    assert raised.value.status == 429
    with pytest.raises(ZeroDivisionError), slots.slot():
        raise ZeroDivisionError
    slots.check()


def test_files_share_the_room_for_their_audio() -> None:
    budget = MemoryBudget(10.0)
    with budget.share() as one, budget.share() as other:
        one.grow(6 * SAMPLE_RATE)
        other.grow(4 * SAMPLE_RATE)
        with pytest.raises(ApiError, match="at most 10 s of audio in all files") as raised:
            one.grow(1)
        assert raised.value.status == 429

    with budget.share() as next_one:
        next_one.grow(10 * SAMPLE_RATE)


def test_what_no_caller_waits_for_takes_no_more_room() -> None:
    budget = MemoryBudget(1.0)
    with budget.share() as left:
        left.grow(SAMPLE_RATE)

    with pytest.raises(ApiError, match="got a closed one"):
        left.grow(1)
    with budget.share() as next_one:
        next_one.grow(SAMPLE_RATE)


def test_threads_take_exactly_what_there_is() -> None:
    budget = MemoryBudget(1.0)
    taken = list[int]()

    def decode(share: MemoryShare) -> None:
        with contextlib.suppress(ApiError):
            while True:
                share.grow(5)
                taken.append(5)

    with contextlib.ExitStack() as held:
        shares = [held.enter_context(budget.share()) for _ in range(4)]
        threads = [threading.Thread(target=decode, args=(share,)) for share in shares]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)

    assert sum(taken) == SAMPLE_RATE
