"""Times of things that take turns, so that a noisy machine is noisy for all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch


class Turn(NamedTuple):
    """One turn of one candidate.

    Attributes:
        wall: Seconds that passed.
        cpu: Seconds that CPUs worked for this process, all threads together.
    """

    wall: float
    cpu: float


class Ratio(NamedTuple):
    """How many times as long something takes as something else, turn by turn.

    Attributes:
        median: Of the rounds.
        low: The first quartile.
        high: The third quartile.
    """

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f'{self.median:.2f}x [{self.low:.2f}, {self.high:.2f}]'


def take_turn(work: Callable[[], Any], repeats: int = 1, device: str = 'cpu') -> Turn:
    """Times some work.

    Args:
        work: What is timed.
        repeats: How many times it is done without waiting for the device between.
        device: Type of the device; what is queued on CUDA is waited for, before and at the end.

    Returns:
        Times of one repeat.
    """
    _wait(device)
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(repeats):
        work()
    _wait(device)
    return Turn((time.perf_counter() - wall) / repeats, (time.process_time() - cpu) / repeats)


def interleave(turns: Mapping[str, Callable[[], Turn]], rounds: int, warmup: int = 1) -> dict[str, list[Turn]]:
    """Lets all take turns: forwards in one round, backwards in the next.

    Args:
        turns: What takes one turn, by name.
        rounds: How many turns of each count.
        warmup: How many rounds before them do not count.

    Returns:
        The turns that count, by name.
    """
    names = list(turns)
    results: dict[str, list[Turn]] = {name: [] for name in names}
    for number in range(-warmup, rounds):
        for name in names if number % 2 == 0 else reversed(names):
            turn = turns[name]()
            if number >= 0:
                results[name].append(turn)
    return results


def median(turns: Sequence[Turn]) -> Turn:
    """Medians of wall time and CPU time, each by itself."""
    return Turn(statistics.median(turn.wall for turn in turns), statistics.median(turn.cpu for turn in turns))


def ratio(slow: Sequence[float], fast: Sequence[float]) -> Ratio:
    """Compares times of the same rounds.

    Args:
        slow: Times of one candidate.
        fast: Of the one it is compared with, in the same order of rounds.

    Returns:
        Median and quartiles of ``slow / fast`` over rounds.
    """
    values = sorted(one / other if other else float('nan') for one, other in zip(slow, fast, strict=True))
    low, _, high = statistics.quantiles(values, n=4, method='inclusive') if len(values) > 1 else values * 3
    return Ratio(statistics.median(values), low, high)


def ratios(results: Mapping[str, Sequence[Turn]], base: str) -> dict[str, tuple[Ratio, Ratio]]:
    """Ratios of all candidates to one.

    Args:
        results: What :func:`interleave` returned.
        base: Name of the candidate that is 1.

    Returns:
        Ratios of wall time and of CPU time, by name.
    """
    return {
        name: (
            ratio([turn.wall for turn in turns], [turn.wall for turn in results[base]]),
            ratio([turn.cpu for turn in turns], [turn.cpu for turn in results[base]]),
        )
        for name, turns in results.items()
    }


def _wait(device: str) -> None:
    if device == 'cuda':
        torch.cuda.synchronize()
