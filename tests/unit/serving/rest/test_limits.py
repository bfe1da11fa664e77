import contextlib
import threading

import pytest

from voxray.audio import SAMPLE_RATE
from voxray.serving.api_error import ApiError
from voxray.serving.rest.limits import MemoryBudget, Places, Share


def test_a_place_is_free_again_when_its_holder_goes() -> None:
    places = Places(1, "files")

    with places.place(), pytest.raises(ApiError, match="at most 1 files at once") as raised:
        places.check()
    assert raised.value.status == 429
    with pytest.raises(ZeroDivisionError), places.place():
        raise ZeroDivisionError
    places.check()


def test_files_share_the_room_for_their_audio() -> None:
    reserve = MemoryBudget(10.0)
    with reserve.share() as one, reserve.share() as other:
        one.take(6 * SAMPLE_RATE)
        other.take(4 * SAMPLE_RATE)
        with pytest.raises(ApiError, match="at most 10 s of audio in all files") as raised:
            one.take(1)
        assert raised.value.status == 429

    with reserve.share() as next_one:
        next_one.take(10 * SAMPLE_RATE)


def test_what_nobody_waits_for_takes_no_more_room() -> None:
    reserve = MemoryBudget(1.0)
    with reserve.share() as left:
        left.take(SAMPLE_RATE)

    with pytest.raises(ApiError, match="nobody does"):
        left.take(1)
    with reserve.share() as next_one:
        next_one.take(SAMPLE_RATE)


def test_threads_take_exactly_what_there_is() -> None:
    reserve = MemoryBudget(1.0)
    taken = list[int]()

    def decode(share: Share) -> None:
        with contextlib.suppress(ApiError):
            while True:
                share.take(5)
                taken.append(5)

    with contextlib.ExitStack() as held:
        shares = [held.enter_context(reserve.share()) for _ in range(4)]
        threads = [threading.Thread(target=decode, args=(share,)) for share in shares]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)

    assert sum(taken) == SAMPLE_RATE
