"""Which parts of a model are gathered together."""

from __future__ import annotations

from torch import nn

from simmim_mm.acceleration.blocks import blocks_of

CONTAINERS = (nn.ModuleList, nn.ModuleDict)


def sharding_units(model: nn.Module) -> list[nn.Module]:
    """The parts of a model whose weights are gathered, one part at a time; the rest is gathered for the whole step.

    Args:
        model: A :class:`~simmim_mm.models.SimMIM`, whose encoder and decoder count, or any other model.

    Returns:
        The blocks of the residual stream where they are known (``simmim_mm.acceleration.blocks``); otherwise the
        parts that the encoder's forward pass calls one after another, as a ResNet's stages. None has no parameters.
    """
    units = blocks_of(model)
    if not units:
        units = _parts(getattr(model, 'backbone', model))
    return [unit for unit in units if next(unit.parameters(), None) is not None]


def _parts(module: nn.Module) -> list[nn.Module]:
    """The children of a module; of containers, which have no forward pass, what they hold."""
    found = []
    for child in module.children():
        found += _parts(child) if isinstance(child, CONTAINERS) else [child]
    return found
