import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxray.errors import ConfigError
from voxray.serving.transcriber.scheduler import Group, Scheduler, SchedulerOptions, Ticket

SHORT, LONG = Group(0, 4, 2.0), Group(0, 4, 10.0)


def ticket(session: str, number: int = 0, *, final: bool = False, deadline_s: float = 9.0, group: Group = SHORT) -> Ticket[str]:  # fmt: skip  # noqa: E501  # one line reads best
    return Ticket(session, number, group, final, deadline_s, f"{session}{number}")


def scheduler(*tickets: Ticket[str], **options: float) -> Scheduler[str]:
    made = Scheduler[str](SchedulerOptions(**options))  # type: ignore[arg-type]  # two of them are ints
    for t in tickets:
        assert made.add(t, 0.0) is None
    return made


def names(batch: list[Ticket[str]]) -> list[str]:
    return [t.payload for t in batch]


def test_earliest_deadline_comes_first() -> None:
    s = scheduler(ticket("a", deadline_s=3), ticket("b", deadline_s=1), ticket("c", deadline_s=2))

    assert names(s.pop_batch(0.02)) == ["b0", "c0", "a0"]


def test_finals_come_before_partials() -> None:
    s = scheduler(ticket("a", deadline_s=1), ticket("b", final=True, deadline_s=5))

    assert names(s.pop_batch(0.02)) == ["b0", "a0"]


def test_partials_fill_a_batch_only_so_far() -> None:
    finals = [ticket(f"f{i}", final=True, deadline_s=i) for i in range(3)]
    partials = [ticket(f"p{i}", deadline_s=i) for i in range(3)]

    few = scheduler(finals[0], *partials, max_partials=2)
    assert [names(few.pop_batch(0.02)) for _ in range(2)] == [["f00", "p00"], ["p10", "p20"]]
    many = scheduler(*finals, *partials, max_partials=2)
    assert names(many.pop_batch(0.02)) == ["f00", "f10", "f20"]


def test_a_batch_holds_one_group_and_the_most_urgent_leads() -> None:
    s = scheduler(ticket("a", deadline_s=3), ticket("b", deadline_s=1, group=LONG), ticket("c", deadline_s=2))

    assert names(s.pop_batch(0.02)) == ["b0"]
    assert names(s.pop_batch(0.02)) == ["c0", "a0"]


def test_waits_20_ms_to_fill() -> None:
    s = scheduler(ticket("a"))

    assert s.ready_s(0.0) == 0.02
    assert s.pop_batch(0.019) == []
    assert names(s.pop_batch(0.02)) == ["a0"]
    assert s.ready_s(0.02) is None


def test_a_full_batch_does_not_wait() -> None:
    s = scheduler(*(ticket(str(i), deadline_s=5 + i) for i in range(5)), max_batch=4)

    assert names(s.pop_batch(0.0)) == ["00", "10", "20", "30"]
    assert s.pop_batch(0.0) == []


def test_a_deadline_that_has_come_does_not_wait() -> None:
    assert names(scheduler(ticket("a", deadline_s=0.005)).pop_batch(0.005)) == ["a0"]


def test_a_newer_request_takes_the_place_of_the_queued_one() -> None:
    s = scheduler(ticket("a", 0, deadline_s=1.0))

    old = s.add(ticket("a", 1, deadline_s=2.0), 0.015)
    assert old
    assert old.payload == "a0"
    [taken] = s.pop_batch(0.02)

    assert (taken.payload, taken.arrived_s, taken.deadline_s) == ("a1", 0.0, 1.0)
    assert len(s) == 0


def test_an_older_request_that_comes_late_is_superseded_itself() -> None:
    s = scheduler(ticket("a", 1))
    late = ticket("a", 0)

    assert s.add(late, 0.0) is late
    assert names(s.pop_batch(0.02)) == ["a1"]


def test_a_session_runs_one_request_at_a_time() -> None:
    s = scheduler(ticket("a", 0))
    running = s.pop_batch(1.0)
    s.add(ticket("a", 1), 1.0)
    assert s.pop_batch(2.0) == []
    assert s.ready_s(2.0) is None

    s.finish(running)

    assert names(s.pop_batch(2.0)) == ["a1"]


def test_a_session_that_is_gone_is_forgotten() -> None:
    s = scheduler(ticket("a"), ticket("b"))

    gone = s.cancel("a")
    assert gone
    assert gone.payload == "a0"
    assert s.cancel("a") is None
    assert names(s.pop_batch(0.02)) == ["b0"]


def test_delay_is_the_wait_of_the_oldest() -> None:
    s = scheduler(ticket("a"))
    s.add(ticket("b"), 3.0)

    assert s.delay_s(5.0) == 5.0
    assert Scheduler[str]().delay_s(5.0) == 0.0


def test_a_partial_is_served_however_many_finals_come() -> None:
    s = scheduler(ticket("patient", deadline_s=0.5), max_batch=1, patience_s=1.0)
    now_s = 0.0
    for i in range(100):
        s.add(ticket(f"f{i}", final=True, deadline_s=now_s), now_s)
        s.add(ticket(f"g{i}", final=True, deadline_s=now_s), now_s)
        batch = s.pop_batch(now_s)
        s.finish(batch)
        if names(batch) == ["patient0"]:
            break
        now_s += 0.1

    assert 1.5 <= now_s < 4.0  # overdue by a second, then behind the finals that were due before it


ARRIVALS = st.lists(
    st.tuples(
        st.sampled_from("abcdefgh"),
        st.booleans(),
        st.floats(0, 3),
        st.sampled_from([SHORT, LONG, Group(8, 4, 2.0), Group(0, 4, 2.0, 0.4)]),
        st.floats(0, 0.1),
    ),
    max_size=40,
)


@given(ARRIVALS, st.integers(1, 4), st.lists(st.booleans(), min_size=1, max_size=10))
def test_each_request_comes_out_once_in_order_and_in_like_company(
    arrivals: list[tuple[str, bool, float, Group, float]], max_batch: int, finishes: list[bool]
) -> None:
    s = scheduler(max_batch=max_batch)
    now_s, out, running = 0.0, list[str](), list[Ticket[str]]()

    def take() -> None:
        batch = s.pop_batch(now_s)
        assert len(batch) <= max_batch
        assert len({t.group for t in batch}) <= 1
        assert not {t.session for t in batch} & {t.session for t in running}
        urgency = [(not (t.final or now_s >= t.deadline_s + 1.0), t.deadline_s) for t in batch]
        assert urgency == sorted(urgency)
        out.extend(names(batch))
        running.extend(batch)

    for number, (session, final, slack_s, group, passes_s) in enumerate(arrivals, start=1):
        old = s.add(ticket(session, number, final=final, deadline_s=now_s + slack_s, group=group), now_s)
        out += [old.payload] if old else []
        now_s += passes_s
        take()
        if finishes[number % len(finishes)]:
            s.finish(running)
            running.clear()
    while len(s):
        s.finish(running)
        running.clear()
        now_s = max(now_s, s.ready_s(now_s) or 0.0)
        before = len(out)
        take()
        assert len(out) > before  # what is said to be ready is

    assert sorted(out) == sorted(f"{a[0]}{i}" for i, a in enumerate(arrivals, start=1))


@pytest.mark.parametrize("wrong", [{"max_batch": 0}, {"fill_s": -1.0}, {"patience_s": -1.0}])
def test_an_option_that_cannot_be_is_named(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        scheduler(**wrong)
