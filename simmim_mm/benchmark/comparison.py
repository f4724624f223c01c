"""How far loss and gradients of two candidates are apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor


class Difference(NamedTuple):
    """Relative differences to a reference.

    Attributes:
        loss: ``|a - b| / |b|``.
        gradient: The largest over all parameters of ``max|a - b| / max|b|``.
        worst: The parameter where it is.
        norm: ``|a - b| / |b|`` of all gradients as one vector.
    """

    loss: float
    gradient: float
    worst: str
    norm: float


def difference(
    candidate: tuple[float, Mapping[str, Tensor]], reference: tuple[float, Mapping[str, Tensor]]
) -> Difference:
    """Compares loss and gradients.

    Args:
        candidate: A loss, and gradients by name.
        reference: Likewise, with the same names.

    Returns:
        The differences.

    Raises:
        ValueError: If one has gradients that the other lacks.
    """
    (loss, gradients), (other_loss, others) = candidate, reference
    alone = sorted(gradients.keys() ^ others.keys())
    if alone:
        raise ValueError(f'the two have gradients of different parameters, such as {alone[0]}')
    largest, worst, squares, total = 0.0, '', 0.0, 0.0
    for name, gradient in gradients.items():
        other = others[name].double()
        distance = gradient.double() - other
        scale = other.abs().max().item()
        if scale > 0:
            relative = distance.abs().max().item() / scale
            if relative > largest:
                largest, worst = relative, name
        squares += distance.square().sum().item()
        total += other.square().sum().item()
    return Difference(
        abs(loss - other_loss) / abs(other_loss), largest, worst, (squares / total) ** 0.5 if total else float('nan')
    )
