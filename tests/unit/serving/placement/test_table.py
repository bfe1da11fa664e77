"""Placement: few pairs of gateways and hosts, none too full."""

from hypothesis import given
from hypothesis import strategies as st

from voxray.serving.placement.table import UNREPORTED_S, Load, Table


def table(*loads: Load, capacity: int = 4, limit: int = 100) -> Table:
    made = Table(capacity, limit)
    for load in loads:
        made.report(load, 0.0)
    return made


def test_prefers_a_host_that_serves_the_gateway() -> None:
    t = table(Load(1, "here", 0), Load(2, "there", 3, frozenset({"a"})))

    assert t.place("a", "here", 0.0) == 2


def test_then_one_on_the_gateways_node() -> None:
    assert table(Load(1, "there", 0), Load(2, "here", 3)).place("a", "here", 0.0) == 2


def test_then_the_emptiest() -> None:
    assert table(Load(1, "there", 2), Load(2, "there", 1)).place("a", "here", 0.0) == 2


def test_a_full_host_takes_none() -> None:
    assert table(Load(1, "here", 4, frozenset({"a"}))).place("a", "here", 0.0) is None


def test_the_limit_holds_over_all_hosts() -> None:
    t = table(Load(1, "here", 2), Load(2, "here", 1), limit=3)

    assert t.full
    assert t.place("a", "here", 0.0) is None


def test_a_report_corrects_what_was_thought() -> None:
    t = table(Load(1, "here", 4))
    t.report(Load(1, "here", 1), 0.0)

    assert t.place("a", "here", 0.0) == 1


def test_a_report_from_before_a_session_was_opened_does_not_forget_it() -> None:
    t = table(Load(1, "here"), capacity=1)
    t.place("a", "here", 0.0)
    t.report(Load(1, "here", 0), 0.1)

    assert t.place("a", "here", 0.2) is None

    t.report(Load(1, "here", 0), UNREPORTED_S + 0.1)

    assert t.place("a", "here", UNREPORTED_S + 0.2) == 1


def test_a_report_from_before_a_session_was_opened_does_not_forget_its_gateway() -> None:
    t = table(Load(1, "here"), Load(2, "here"))
    for now_s in (0.0, 0.1, 0.2):
        assert t.place("a", "here", now_s) == 1
        t.report(Load(1, "here", 0), now_s)


def test_a_lost_host_is_not_chosen() -> None:
    t = table(Load(1, "here"), Load(2, "here", 2))
    t.lose(1)

    assert t.place("a", "here", 0.0) == 2
    assert not t.spare


@given(st.lists(st.sampled_from("abc"), max_size=40), st.integers(1, 6))
def test_sessions_are_counted_and_pairs_stay_few(gateways: list[str], capacity: int) -> None:
    t = Table(capacity, limit=1_000)
    for gateway in gateways:
        if not t.spare:  # as the directory sees to
            t.report(Load(len(t.hosts) + 1, "node"), 0.0)
        assert t.place(gateway, "node", 0.0) is not None

    assert t.sessions == len(gateways)
    assert all(h.sessions <= capacity for h in t.hosts.values())
    needed = sum(-(-gateways.count(g) // capacity) for g in "abc")
    assert sum(len(h.gateways) for h in t.hosts.values()) == needed


def test_sessions_that_a_host_reports_are_not_counted_twice() -> None:
    t = table(Load(1, "here"), capacity=10)
    for _ in range(4):
        t.place("a", "here", 0.0)
    t.report(Load(1, "here", 3), 0.1)

    assert t.sessions == 4

    t.report(Load(1, "here", 4), 0.2)

    assert t.sessions == 4


def test_a_host_that_failed_is_not_chosen_again() -> None:
    t = table(Load(1, "here", 1, frozenset({"a"})), Load(2, "there"))

    assert t.place("a", "here", 0.0, without={1}) == 2
    assert t.place("a", "here", 0.0, without={1, 2}) is None
