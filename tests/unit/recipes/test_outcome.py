import json
from pathlib import Path

from voxray.recipes.outcome import best_wer, by_step, first_wer, last_step, lines, minutes, samples_per_s


def write(out: Path, *values: dict[str, float]) -> Path:
    (out / "progress.jsonl").write_text("".join(json.dumps(v) + "\n" for v in values))
    return out


def test_a_run_that_wrote_nothing_has_no_outcome(tmp_path: Path) -> None:
    assert lines(tmp_path) == []
    assert (best_wer(tmp_path), first_wer(tmp_path), samples_per_s(tmp_path)) == (None, None, None)
    assert (last_step(tmp_path), by_step(tmp_path, "loss"), minutes(tmp_path)) == (0, {}, 0)


def test_the_best_wer_is_the_lowest_and_the_first_that_before_training(tmp_path: Path) -> None:
    judged = [(0, 40.0), (10, 12.5), (20, 13.0)]
    out = write(tmp_path, *({"step": step, "wer": wer} for step, wer in judged))
    assert (first_wer(out), best_wer(out), last_step(out)) == (40.0, 12.5, 20)


def test_the_best_wer_is_of_the_evaluations_that_stand_where_steps_were_made_twice(tmp_path: Path) -> None:
    judged = [(0, 40.0), (10, 12.5), (10, 12.7), (20, 13.0)]
    out = write(tmp_path, *({"step": step, "wer": wer} for step, wer in judged))
    assert best_wer(out) == 12.7


def test_a_line_that_a_full_disk_cut_short_is_left(tmp_path: Path) -> None:
    out = write(tmp_path, {"step": 10, "wer": 12.5})
    with (out / "progress.jsonl").open("a") as log:
        log.write('{"step": 20, "w')
    assert last_step(out) == 10


def test_speed_is_the_median_so_that_a_slow_start_does_not_count(tmp_path: Path) -> None:
    out = write(tmp_path, *({"step": i, "samples_per_s": v} for i, v in enumerate([1.0, 20.004, 30.0])))
    assert samples_per_s(out) == 20.0
    assert best_wer(out) is None


def test_steps_that_were_made_twice_after_a_restart_count_once(tmp_path: Path) -> None:
    out = write(tmp_path, *({"step": step, "wer": 9.0} for step in (0, 5, 10, 5, 10, 15)))
    assert (last_step(out), best_wer(out)) == (15, 9.0)


def test_a_curve_has_each_step_once_in_order_with_its_last_value(tmp_path: Path) -> None:
    losses = [(5, 3.0), (10, 2.0), (5, 4.0), (15, 1.0)]
    out = write(tmp_path, *({"step": step, "loss": loss} for step, loss in losses), {"step": 10, "wer": 9.0})
    assert list(by_step(out, "loss").items()) == [(5, 4.0), (10, 2.0), (15, 1.0)]


def test_minutes_are_those_of_every_process_that_worked_on_the_run(tmp_path: Path) -> None:
    times = [(100.0, 30.0), (100.0, 60.0), (500.0, 90.0), (500.0, 120.0)]
    out = write(tmp_path, *({"step": 1, "started": start, "elapsed_s": passed} for start, passed in times))
    assert minutes(out) == 3.0
