"""Which targets and losses go together."""

from __future__ import annotations

from torch import nn

from simmim_mm.options import is_whole

# What a part of each kind must have; a class of another package may have them without being a subclass.
NEEDED = {'target': ('channels', 'stride'), 'loss': ('params_per_channel',)}


def check_part(part: nn.Module, slot: str) -> None:
    """Checks that a module can serve as target or loss.

    Args:
        part: The module.
        slot: ``'target'`` or ``'loss'``.

    Raises:
        ValueError: If it lacks what such a part has.
    """
    name = type(part).__name__
    for attribute in NEEDED[slot]:
        if not hasattr(part, attribute):
            other = 'PixelTarget' if slot == 'target' else 'L1Loss'
            raise ValueError(
                f'{name} is no {slot} of this package, as it has no {attribute} (see docs/targets.md); change '
                f"model.head.{slot}, for example to dict(type='simmim_mm.{other}')"
            )
        value = getattr(part, attribute)
        if not is_whole(value) or value < 1:
            raise ValueError(f'{attribute}={value!r} of the {slot} {name} must be a whole number from 1')


def check_pair(target: nn.Module, loss: nn.Module) -> None:
    """Checks that a loss can score what a target is.

    Args:
        target: See :class:`~simmim_mm.models.targets.Target`.
        loss: See :class:`~simmim_mm.models.losses.Loss`.

    Raises:
        ValueError: If one is about labels and the other about numbers, or their numbers of labels differ.
    """
    check_kinds(target, type(loss).__name__, getattr(loss, 'takes_labels', False))
    num_classes = getattr(target, 'num_classes', None)
    if num_classes is not None and loss.params_per_channel != num_classes:
        raise ValueError(
            f'{type(loss).__name__} and {type(target).__name__} do not fit: the target has {num_classes} labels, and '
            f'the loss {loss.params_per_channel}; delete num_classes from model.head.loss'
        )


def check_kinds(target: nn.Module, loss_name: str, takes_labels: bool) -> None:
    """Checks that target and loss are both about labels, or both about numbers; before the loss is built, too.

    Args:
        target: See :class:`~simmim_mm.models.targets.Target`.
        loss_name: Name of the loss's class.
        takes_labels: Whether it scores labels.

    Raises:
        ValueError: If they are not.
    """
    num_classes = getattr(target, 'num_classes', None)
    names = f'{loss_name} and {type(target).__name__} do not fit'
    if num_classes is not None and not takes_labels:
        raise ValueError(
            f'{names}: the target is one of {num_classes} labels, between which there is no distance; use '
            "model.head.loss=dict(type='CrossEntropyLoss'), or model.head.target=dict(type='PixelTarget')"
        )
    if num_classes is None and takes_labels:
        raise ValueError(
            f"{names}: the target is numbers, and the loss scores labels; use model.head.loss=dict(type='L1Loss'), or "
            "model.head.target=dict(type='ColorBinTarget')"
        )
