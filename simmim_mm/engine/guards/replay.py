"""A step that was left out is taken again, and looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from mmengine.device import get_device
from mmengine.registry import init_default_scope
from torch import Tensor, nn

from simmim_mm.acceleration import accelerate, check_acceleration
from simmim_mm.engine.checkpoints import check_keys
from simmim_mm.engine.guards.failed_batch import KEY, files_of, read_failed_batch
from simmim_mm.engine.guards.trace import Seen, Statistics, Trace, statistics_of
from simmim_mm.engine.hooks.iteration_seed import iteration_seed, seed_everything
from simmim_mm.engine.precision import PRECISIONS
from simmim_mm.registry import MODELS
from simmim_mm.tables import table
from simmim_mm.transfer.quiet import quiet
from simmim_mm.transfer.stored_config import stored_config

# Of the acceleration: what computes twice, or hides modules from hooks, and changes no number.
LEFT_OUT = {'compile': False, 'allocator': False, 'activation_checkpointing': False}
HEAD = ('', 'shape', 'type', 'lowest', 'highest', 'NaN', 'infinite', 'of')


class Replay(NamedTuple):
    """What a step looked like.

    Attributes:
        culprit: The first tensor that is not finite; None if all are.
        verdict: What that means, in a sentence or two.
        text: The whole report.
        losses: Names and values of the terms of the loss, batch after batch.
    """

    culprit: Seen | None
    verdict: str
    text: str
    losses: list[tuple[str, float]]


def replay(
    path: str,
    config: str | None = None,
    plain: bool = False,
    precision: str | None = None,
    device: str | None = None,
) -> Replay:
    """Takes the step of a failed batch again: the same weights, images, masks and random numbers; no update.

    Args:
        path: A file of :func:`~simmim_mm.engine.guards.failed_batch.save_failed_batch`.
        config: A config file to take in place of the stored one.
        plain: Whether the model runs without acceleration, where hooks see more modules.
        precision: ``'fp32'``, ``'bf16'`` or ``'fp16'``; None for that of the run.
        device: ``'cpu'`` or ``'cuda'``; None for the GPU if there is one.

    Returns:
        What was found.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is none of a failed batch, or an argument is out of range.
    """
    loaded = read_failed_batch(path)
    failed = loaded[KEY]
    precision = precision or failed['precision']
    if precision not in PRECISIONS:
        raise ValueError(f'precision={precision!r} is unknown; use one of {", ".join(PRECISIONS)}')
    device = device or get_device()
    if device not in ('cpu', get_device()):
        raise ValueError(f'device={device!r} is not there; use cpu')
    model = _build(loaded, path, config, plain, device)
    dtype = PRECISIONS[precision]
    trace, rows, losses = Trace(model), _Rows(), []
    culprit = rows.add_group('weights', _floating(loaded['state_dict']))
    rows.seen += [culprit] if culprit else []
    files: list[str] = []
    for iteration, batch in zip(failed['iterations'], failed['batches'], strict=True):
        seed_everything(iteration_seed(failed['seed'], iteration, failed['rank']))
        batch_size = len(batch['inputs'])
        culprit = culprit or rows.add('images as loaded', batch['inputs'].float(), batch_size)
        with trace.watching(batch_size), torch.autocast(device.split(':')[0], dtype=dtype, enabled=dtype is not None):
            data = model.data_preprocessor(batch, True)
            culprit = culprit or rows.add('images, normalised', data['inputs'], batch_size)
            terms = model(**data, mode='loss')
            loss, _ = model.parse_losses(terms)
            (loss * (failed['loss_scale'] / len(failed['batches']))).backward()
        losses += [(name, value) for name, value in terms.items() if isinstance(value, Tensor)]
        if culprit or trace.first:
            culprit, files = culprit or trace.first, files_of(batch)
            break
    rows.seen += [*trace.before, *([trace.first] if trace.first else [])]
    for name, value in losses:
        bad = rows.add(name, value)
        culprit = culprit or bad
    gradients = {name: value.grad for name, value in model.named_parameters() if value.grad is not None}
    bad = rows.add_group('gradients', gradients)
    bad = trace.first_gradient or bad  # in the order of the backward pass
    rows.seen += [bad] if bad else []
    culprit = culprit or bad
    verdict = _verdict(culprit, files, trace, plain)
    where = f'{failed["precision"]} on {failed["device"]} in the run; here {precision} on {device}'
    acceleration = f'{"without" if plain else "with its"} acceleration'
    about = f'Iteration {failed["iterations"][-1] + 1}, process {failed["rank"]}: {where}, {acceleration}'
    if failed['loss_scale'] != 1:
        about += f'; the loss, and so its gradients, times {failed["loss_scale"]:g}'
    text = f'{about}.\n\n{rows.table()}\n\n{verdict}'
    return Replay(culprit, verdict, text, [(name, value.item()) for name, value in losses])


class _Rows:
    """Rows of the report, and the first of them that is not finite."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []

    def add(self, what: str, tensor: Tensor, batch_size: int | None = None) -> Seen | None:
        """Adds a tensor; returns it if it is not finite."""
        self.seen.append(Seen(what, statistics_of(tensor, batch_size)))
        return None if self.seen[-1].statistics.finite else self.seen[-1]

    def add_group(self, what: str, tensors: Mapping[str, Tensor]) -> Seen | None:
        """Adds many tensors as one row; returns the first that is not finite."""
        each = {name: statistics_of(value) for name, value in tensors.items()}
        self.seen.append(Seen(f'{what} ({len(each)} tensors)', _together(list(each.values()))))
        bad = next((name for name, statistics in each.items() if not statistics.finite), None)
        return None if bad is None else Seen(f'{what}: {bad}', each[bad])

    def table(self) -> str:
        """For people."""
        cells = []
        for what, each in self.seen:
            shape = 'x'.join(map(str, each.shape))
            numbers = f'{each.lowest:.4g}', f'{each.highest:.4g}', f'{each.num_nan:,}', f'{each.num_infinite:,}'
            cells.append((what, shape, each.dtype, *numbers, f'{each.num:,}'))
        return table(HEAD, cells)


def _build(loaded: Mapping[str, Any], path: str, config: str | None, plain: bool, device: str) -> Any:
    cfg = stored_config(loaded['meta'], path, config)
    init_default_scope(cfg.get('default_scope', 'simmim_mm'))
    with quiet():
        model: nn.Module = MODELS.build(cfg.model)
        check_keys(model, loaded['state_dict'], path)
        model.load_state_dict(loaded['state_dict'], strict=False)  # every key was checked
        model.to(device)
        model.train()
        if not plain:
            accelerate(model, **{**check_acceleration(cfg.get('acceleration')), **LEFT_OUT})
    return model


def _verdict(culprit: Seen | None, files: Sequence[str], trace: Trace, plain: bool) -> str:
    if culprit is None:
        largest = trace.largest
        most = (
            f' The largest magnitude is in the {largest.what}: {largest.statistics.lowest:.4g} to '
            f'{largest.statistics.highest:.4g}.'
            if largest
            else ''
        )
        return (
            f'All is finite here.{most} Try the device and precision of the run; with several processes the cause may '
            "be in another one's batch."
        )
    what, numbers = culprit
    found = f'First not finite: {what} ({numbers.num_nan:,} NaN, {numbers.num_infinite:,} infinite of {numbers.num:,}).'
    images = [files[number] for number in numbers.images or () if number < len(files)]
    if images:
        found += f' Images: {"all" if len(images) == len(files) > 1 else ", ".join(images)}.'
    if what.startswith('weights'):
        return f'{found} The weights were so before this batch: go on from an earlier checkpoint.'
    if what.startswith('images'):
        return f'{found} Mend these files, or leave them out.'
    if what.startswith('input of'):
        return f'{found} It was made between two modules' + ('.' if plain else '; --plain looks into more of them.')
    if what.startswith('output of'):
        inside = '' if plain else ' --plain looks into more modules.'
        return f'{found} What went into it was finite: an overflow or an undefined value inside.{inside}'
    if what.startswith('gradient'):
        return f'{found} All of the forward pass is finite: an overflow of the backward pass.'
    return f'{found} All outputs of modules are finite: it is made by the loss itself.'


def _together(each: Sequence[Statistics]) -> Statistics:
    """Of many tensors as one."""
    lows = [one.lowest for one in each if one.lowest == one.lowest]
    highs = [one.highest for one in each if one.highest == one.highest]
    sums = [sum(getattr(one, name) for one in each) for name in ('num_nan', 'num_infinite', 'num')]
    dtypes = '/'.join(dict.fromkeys(one.dtype for one in each))
    nothing = float('nan')
    return Statistics((), dtypes, min(lows, default=nothing), max(highs, default=nothing), *sums)


def _floating(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value for name, value in state.items() if value.is_floating_point()}
