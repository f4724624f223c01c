"""Whether weights are those of a model, every key and shape."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from simmim_mm.transfer.recognise import DERIVED


def expected_weights(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The entries of a state dict that have to come from a file: all but what the class computes."""
    return {key: value for key, value in state.items() if not key.endswith(DERIVED)}


def check_weights(weights: Mapping[str, Tensor], state: Mapping[str, Tensor], path: str, what: str, seems: str) -> None:
    """Checks weights against a state dict.

    Args:
        weights: The weights.
        state: State dict of the model; derived entries do not count.
        path: Where the weights come from.
        what: The model, in words.
        seems: What the weights seem to be.

    Raises:
        ValueError: If a key is missing or unknown, or a shape differs.
    """
    expected = expected_weights(state)
    given = expected_weights(weights)
    missing = [key for key in expected if key not in given]
    foreign = [key for key in given if key not in expected]
    wrong = [
        f'{key} {tuple(given[key].shape)} instead of {tuple(value.shape)}'
        for key, value in expected.items()
        if key in given and given[key].shape != value.shape
    ]
    problems = [
        f'{len(keys)} {kind} (such as {keys[0]})'
        for keys, kind in ((missing, 'missing keys'), (foreign, 'unknown keys'), (wrong, 'wrong shapes'))
        if keys
    ]
    if problems:
        raise ValueError(f'{path!r} does not fit {what}: {", ".join(problems)}; it seems to be {seems}')
