"""Where a candidate sits while it is measured: in this process, or in one of its own."""

from __future__ import annotations

import multiprocessing
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor

from simmim_mm.benchmark.allocations import peak_above_start, size_of, state_tensors
from simmim_mm.benchmark.candidates import Candidate, Setup
from simmim_mm.benchmark.peers import build_candidate
from simmim_mm.benchmark.plan import Plan
from simmim_mm.benchmark.timing import Turn, take_turn

# Makes a candidate of a plan: the name of one that build_candidate knows, or a function that can be pickled.
Maker = str | Callable[[Setup], Candidate]


class Seat(Protocol):
    """What a measurement asks of a candidate."""

    about: str
    precision: str
    reports: dict[str, str]

    def turn(self, repeats: int = 1) -> Turn:
        """Times one step."""

    def evaluate(self) -> tuple[float, Mapping[str, Tensor]]:
        """Loss and gradients by our names."""

    def peak_memory(self) -> int:
        """Bytes of the model, its optimiser and one step at its fullest."""


class LocalSeat:
    """A candidate in this process."""

    def __init__(self, setup: Setup, maker: Maker) -> None:
        self.candidate = build_candidate(setup, maker) if isinstance(maker, str) else maker(setup)
        self.about, self.precision = self.candidate.about, self.candidate.precision
        self.reports: dict[str, str] = getattr(self.candidate, 'reports', {})
        self._device = setup.plan.device

    def turn(self, repeats: int = 1) -> Turn:
        """See :class:`Seat`."""
        return take_turn(self.candidate.step, repeats, self._device)

    def evaluate(self) -> tuple[float, Mapping[str, Tensor]]:
        """See :class:`Seat`."""
        return self.candidate.evaluate()

    def peak_memory(self) -> int:
        """See :class:`Seat`."""
        candidate = self.candidate
        candidate.step()  # the optimiser's state is there from the first step on
        candidate.model.zero_grad(set_to_none=True)
        state = size_of(state_tensors(candidate.model, candidate.optim_wrapper.optimizer))
        return state + peak_above_start(candidate.step, self._device)


class RemoteSeat:
    """A candidate in a process of its own, which waits while others have their turns."""

    def __init__(self, plan: Plan, maker: Maker) -> None:
        context = multiprocessing.get_context('spawn')
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(plan, maker, theirs), daemon=True)
        self._process.start()
        theirs.close()
        self.about, self.precision, self.reports = self._answer()

    def _ask(self, question: str, *args: Any) -> Any:
        self._connection.send((question, args))
        return self._answer()

    def _answer(self) -> Any:
        try:
            kind, answer = self._connection.recv()
        except EOFError:
            self._process.join(10)
            raise RuntimeError(f'the process of a candidate ended with exit code {self._process.exitcode}') from None
        if kind == 'ValueError':
            raise ValueError(answer)
        if kind == 'error':
            raise RuntimeError(f'in the process of a candidate:\n{answer}')
        return answer

    def turn(self, repeats: int = 1) -> Turn:
        """See :class:`Seat`."""
        return Turn(*self._ask('turn', repeats))

    def evaluate(self) -> tuple[float, Mapping[str, Tensor]]:
        """See :class:`Seat`."""
        loss, gradients = self._ask('evaluate')
        return loss, {name: torch.from_numpy(value) for name, value in gradients.items()}

    def peak_memory(self) -> int:
        """See :class:`Seat`."""
        return self._ask('peak_memory')

    def close(self) -> None:
        """Ends the process."""
        self._connection.close()
        self._process.join(10)
        if self._process.is_alive():
            self._process.terminate()


def _serve(plan: Plan, maker: Maker, connection: Any) -> None:
    """What the process does: builds the candidate, then answers until the other end is closed."""
    import simmim_mm  # noqa: F401  (host packages are repaired before they are imported)
    from simmim_mm.benchmark.quiet import quieten

    try:
        quieten()
        if plan.threads is not None:
            torch.set_num_threads(plan.threads)
        seat = LocalSeat(Setup(plan), maker)
        connection.send(('answer', (seat.about, seat.precision, seat.reports)))
        while True:
            try:
                question, args = connection.recv()
            except EOFError:
                return
            answer = getattr(seat, question)(*args)
            if question == 'evaluate':
                answer = (answer[0], {name: value.numpy() for name, value in answer[1].items()})
            connection.send(('answer', tuple(answer) if isinstance(answer, Turn) else answer))
    except ValueError as error:
        connection.send(('ValueError', str(error)))
    except Exception:
        connection.send(('error', traceback.format_exc()))


@contextmanager
def seated(setup: Setup, makers: Mapping[str, Maker], isolate: bool) -> Iterator[dict[str, Seat]]:
    """Gives each candidate its place.

    Args:
        setup: What all share.
        makers: How each is made, by name.
        isolate: Whether each has a process of its own. What one changes for its whole process, such as the memory
            allocator, then does not reach the others.

    Yields:
        The seats, by name.
    """
    with ExitStack() as stack:
        seats: dict[str, Seat] = {}
        for name, maker in makers.items():
            if isolate:
                remote = RemoteSeat(setup.plan, maker)
                stack.callback(remote.close)
                seats[name] = remote
            else:
                seats[name] = LocalSeat(setup, maker)
        yield seats
