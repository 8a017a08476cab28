"""engines/pace.py: how many threads and batches the next call takes, by what earlier ones have taken."""

from __future__ import annotations

from glassnet.engines.pace import FIRST, SECONDS_A_CALL, Pace


def calls(pace: Pace, seconds: dict[int, float], count: int, most: int = 2) -> list[tuple[int, int]]:
    """Plan so many calls of batches that take so long by the number of threads."""
    made = []
    for _ in range(count):
        team, batches = pace.plan(most)
        pace.measured(team, batches, batches * seconds[team])
        made.append((team, batches))
    return made


def share(made: list[tuple[int, int]], seconds: dict[int, float], team: int) -> float:
    """The part of the time that was spent with so many threads."""
    spent = [batches * seconds[threads] * (threads == team) for threads, batches in made]
    return sum(spent) / sum(batches * seconds[threads] for threads, batches in made)


def test_the_faster_number_of_threads_gets_nearly_all_of_the_time() -> None:
    for seconds, better in (({1: 40e-6, 2: 25e-6}, 2), ({1: 40e-6, 2: 400e-6}, 1)):
        made = calls(Pace(), seconds, 40)
        assert made[0] == (2, FIRST)
        assert {team for team, _ in made} == {1, 2}, "both are tried"
        assert share(made, seconds, better) > 0.95


def test_it_changes_its_mind() -> None:
    pace = Pace()
    calls(pace, {1: 40e-6, 2: 400e-6}, 20)
    made = calls(pace, {1: 40e-6, 2: 25e-6}, 20)
    assert made[-1][0] == 2 or made[-2][0] == 2
    assert share(made[4:], {1: 40e-6, 2: 25e-6}, 2) > 0.9


def test_calls_take_about_as_long_as_they_should() -> None:
    seconds = {1: 40e-6, 2: 25e-6}
    for team, batches in calls(Pace(), seconds, 40)[1:]:
        assert batches * seconds[team] < 1.1 * SECONDS_A_CALL


def test_long_batches_and_single_threads_are_not_tried_otherwise() -> None:
    assert {team for team, _ in calls(Pace(), {1: 0.02, 2: 0.01}, 10)} == {2}
    assert {team for team, _ in calls(Pace(), {1: 40e-6}, 10, most=1)} == {1}


def test_fewer_threads_than_before_are_possible_at_any_time() -> None:
    pace = Pace()
    calls(pace, {1: 40e-6, 2: 25e-6}, 10)
    assert pace.plan(1)[0] == 1


def test_the_start_of_threads_counts_as_in_a_call_of_usual_length() -> None:
    """A trial of 1 ms after 2 ms of starting: two threads still win, for 2 ms are little in a call of 100."""
    seconds, pace = {1: 40e-6, 2: 25e-6}, Pace()
    for _ in range(20):
        team, batches = pace.plan(2)
        pace.measured(team, batches, batches * seconds[team], start=2e-3 * (team - 1))
    assert pace.seconds[2] < pace.seconds[1]
    pace.measured(2, 40, 40 * seconds[2], start=SECONDS_A_CALL)  # as long to start as to run: that is half the speed
    assert pace.seconds[2] > pace.seconds[1]
