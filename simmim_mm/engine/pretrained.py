"""Pre-trained weights that all arrive, or an error."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from mmengine.logging import print_log
from mmengine.model.weight_init import initialize, update_init_info
from torch import Tensor, nn

from simmim_mm.options import check_text
from simmim_mm.registry import WEIGHT_INITIALIZERS
from simmim_mm.transfer.files import read_weights

# Buffers that a backbone computes from its sizes; files need not hold them, and may hold those of other sizes.
DERIVED = ('relative_position_index', 'relative_coords_table', 'attn_mask')
# Positions that mmpretrain's backbones resize while they load.
RESIZED_BY_THE_HOST = {'pos_embed': '_prepare_pos_embed', 'absolute_pos_embed': '_prepare_abs_pos_embed'}


@WEIGHT_INITIALIZERS.register_module()
class CheckedPretrained:
    """Loads a backbone from a file, and stops unless every weight of it was in the file and is in the model.

    MMEngine's ``Pretrained`` only warns of what it does not find, and a run then goes on from random weights. For the
    ``init_cfg`` of a backbone of mmpretrain, in a classifier, detector or segmenter::

        init_cfg=dict(type='simmim_mm.CheckedPretrained', checkpoint='backbone.pth', prefix='backbone.')

    The ``SwinTransformer`` of mmdet and of mmseg reads checkpoints itself and never calls this; take
    ``mmpretrain.SwinTransformer`` there.

    Args:
        checkpoint: The file: of ``tools/export_backbone.py``, or of a pre-training run with the same backbone. None
            means random weights, to compare with.
        prefix: What the backbone's keys begin with in the file; what begins otherwise is not looked at. None for a
            file of the backbone alone.
        new: Parts of the backbone that pre-training did not have and that start as the backbone's class initialises
            them, such as ``['norm0', 'norm1', 'norm2']`` of a Swin whose four maps are put out.
        unused: Parts that the file may hold and this backbone does not have, such as ``['ln1']``.
        scratch: ``init_cfg`` of random weights, for ``checkpoint=None``. Empty for that of the backbone's class.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If an option is of a wrong kind; when called, if keys or shapes of file and backbone differ.
    """

    def __init__(
        self,
        checkpoint: str | None,
        prefix: str | None = 'backbone.',
        new: Sequence[str] = (),
        unused: Sequence[str] = (),
        scratch: dict | Sequence[dict] = (),
    ) -> None:
        self.checkpoint = check_text(checkpoint, 'checkpoint', 'CheckedPretrained')
        self.prefix = check_text(prefix, 'prefix', 'CheckedPretrained') or ''
        self.new = _names(new, 'new')
        self.unused = _names(unused, 'unused')
        if isinstance(scratch, dict):
            scratch = [scratch]
        if not isinstance(scratch, list | tuple) or not all(isinstance(part, dict) for part in scratch):
            raise ValueError(f'scratch={scratch!r} of CheckedPretrained must be an init_cfg: a dict, or a list of them')
        self.scratch = list(scratch)
        self.weights = None if checkpoint is None else _read(checkpoint, self.prefix)

    def __call__(self, module: Any) -> None:
        """Initialises a backbone.

        Raises:
            ValueError: If the file's weights are not the backbone's, with what is missing, unknown or of another shape.
        """
        if self.weights is None:
            print_log(f'{type(module).__name__} starts from random weights, as checkpoint=None asks for', 'current')
            if self.scratch:
                initialize(module, self.scratch)
            return
        # The parts that are new are initialised as without a file, and nothing is initialised again afterwards:
        # MMEngine would go on to the children, and the host's classes to their positions.
        module.init_cfg = None
        if self.new and hasattr(module, 'init_weights'):
            module.init_weights()
        module.init_cfg = dict(type='Pretrained', checkpoint=self.checkpoint, prefix=self.prefix)
        for part in module.modules():
            if hasattr(part, 'is_init'):
                part.is_init = True
        self._load(module, self.weights)
        if hasattr(module, '_params_init_info'):
            update_init_info(module, init_info=f'CheckedPretrained: load from {self.checkpoint}')

    def _load(self, module: nn.Module, weights: dict[str, Tensor]) -> None:
        expected = {key: value for key, value in module.state_dict().items() if not key.endswith(DERIVED)}
        if idle := [name for name in self.new if not any(_below(key, [name]) for key in expected)]:
            raise ValueError(f'new={idle} of CheckedPretrained is nothing of {type(module).__name__}; leave it out')
        weights = {key: value for key, value in weights.items() if not _below(key, self.unused)}
        missing = [key for key in expected if key not in weights and not _below(key, self.new)]
        foreign = [key for key in weights if key not in expected]
        wrong = [
            key
            for key, value in expected.items()
            if key in weights and weights[key].shape != value.shape and not _host_resizes(module, key)
        ]
        if missing or foreign or wrong:
            raise ValueError(self._difference(module, missing, foreign, wrong, weights, expected))
        module.load_state_dict(weights, strict=False)
        loaded = module.state_dict()
        same = [key for key in weights if weights[key].shape == loaded[key].shape]
        if changed := [key for key in same if not torch.equal(weights[key].to(loaded[key]), loaded[key])]:
            raise ValueError(f'{type(module).__name__} did not take {changed[0]} of {self.checkpoint!r} as it is')
        print_log(
            f'{type(module).__name__}: all {len(weights)} weights of {self.checkpoint} are in'
            + (f', {len(weights) - len(same)} resized' if len(same) < len(weights) else '')
            + (f'; new: {", ".join(self.new)}' if self.new else ''),
            'current',
        )

    def _difference(
        self, module: nn.Module, missing: list, foreign: list, wrong: list, weights: dict, expected: dict
    ) -> str:
        said = [
            f'{len(keys)} {what} (such as {keys[0]})'
            for keys, what in ((missing, 'weights are missing'), (foreign, 'are unknown'))
            if keys
        ]
        hint = 'use the arch and the options of the backbone that it was pre-trained with'
        if wrong:
            key = wrong[0]
            shapes = f'{tuple(weights[key].shape)} instead of {tuple(expected[key].shape)}'
            said.append(f'{len(wrong)} have another shape (such as {key}: {shapes})')
        if wrong and all(key.endswith('relative_position_bias_table') for key in wrong) and not missing + foreign:
            hint = (
                f'its windows are of another size ({_windows(weights[wrong[0]])} instead of '
                f'{_windows(expected[wrong[0]])}); resize them when exporting: tools/export_backbone.py --window-size, '
                'or --img-size for a ViT'
            )
        elif missing and not foreign + wrong:
            hint = "name what is to start anew: init_cfg=dict(..., new=['norm0', 'norm1', 'norm2']), or " + hint
        elif foreign and not missing + wrong:
            hint = f"name what is to be left out: init_cfg=dict(..., unused=['{foreign[0].split('.')[0]}']), or " + hint
        return f'{self.checkpoint!r} does not fit this {type(module).__name__}: {", ".join(said)}; {hint}'


def _read(checkpoint: str, prefix: str) -> dict[str, Tensor]:
    try:
        state = read_weights(checkpoint).weights
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f'{error}; write it with tools/export_backbone.py and name it: --pretrained FILE with our train.py, '
            '--cfg-options model.backbone.init_cfg.checkpoint=FILE with any. Without pre-training: none and None'
        ) from None
    weights = {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}
    weights = {key: value for key, value in weights.items() if not key.endswith(DERIVED)}
    if not weights:
        heads = sorted({key.split('.')[0] for key in state})
        raise ValueError(
            f'no key in {checkpoint!r} begins with prefix={prefix!r}; they begin with {", ".join(heads[:5])}; convert '
            'the file with tools/convert_checkpoint.py or tools/export_backbone.py, or name the prefix'
        )
    return weights


def _names(value: Any, option: str) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(name, str) and name for name in value):
        raise ValueError(f"{option}={value!r} of CheckedPretrained must be a list of names, such as ['norm0']")
    return tuple(value)


def _below(key: str, names: Iterable[str]) -> bool:
    return any(key == name or key.startswith(f'{name}.') for name in names)


def _host_resizes(module: nn.Module, key: str) -> bool:
    return hasattr(module, RESIZED_BY_THE_HOST.get(key, '-'))


def _windows(table: Tensor) -> str:
    """The side of the window of a table of (2 w - 1)^2 rows, or of three more for a class token."""
    side = math.isqrt(len(table))
    return str((side + 1) // 2) if side * side in (len(table), len(table) - 3) else f'{len(table)} rows'
