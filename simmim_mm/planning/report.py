"""Plans as a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mmengine.config import Config
from mmengine.registry import init_default_scope

from simmim_mm.planning.counts import Counts, build_without_memory, count
from simmim_mm.planning.estimate import STRATEGIES, Assumptions, estimate, possible
from simmim_mm.planning.hardware import GPUS, GPUS_PER_NODE
from simmim_mm.tables import table

HEAD = (
    'GPUs', 'strategy', 'checkpointing', 'images/GPU', 'state GB', 'buffers GB', 'activations GB', 'all GB', 'fits',
    'most images/GPU', 'step ms', 'of it not hidden ms', 'images/s', 'hours', 'sent GB/step',
)  # fmt: skip
# Of a config that names no length.
ASSUMED_EPOCHS = 100


class Recipe(NamedTuple):
    """How long a run is.

    Attributes:
        batch: Images of a step on all GPUs.
        images: Of the run.
        length: The same in words.
    """

    batch: int
    images: int
    length: str


def plan_run(
    cfg: Config,
    gpus: Sequence[int],
    gpu: str = 'h100',
    batch_per_gpu: int | None = None,
    images: int = 1_281_167,
    epochs: int | None = None,
    assumptions: Assumptions | None = None,
) -> str:
    """Plans the pre-training of a config.

    Args:
        cfg: The config.
        gpus: Numbers of GPUs.
        gpu: One of :data:`~simmim_mm.planning.hardware.GPUS`.
        batch_per_gpu: Images for each GPU; by default the recipe's batch (``auto_scale_lr.base_batch_size``) over all.
        images: Of the data set; by default ImageNet-1K's.
        epochs: Of the run; by default the config's, or its iterations.
        assumptions: What no count tells.

    Returns:
        Lines about the model and what is assumed, and a table in Markdown.

    Raises:
        ValueError: If the GPU is unknown, or the config is no pre-training config.
    """
    if gpu not in GPUS:
        raise ValueError(f'--gpu {gpu} is unknown; use one of {", ".join(GPUS)}')
    assumed = assumptions or Assumptions()
    init_default_scope(cfg.get('default_scope', 'simmim_mm'))
    model = build_without_memory(cfg.get('model') or {})
    size = model.image_hw
    counts = count(model, *_mask_of(cfg))
    batch = (cfg.get('auto_scale_lr') or {}).get('base_batch_size', 2048)
    recipe = _recipe(cfg.get('train_cfg') or {}, batch, images, epochs)
    rows = [
        _row(counts, recipe, gpu, number, batch_per_gpu, strategy, checkpointing, assumed)
        for number in gpus
        for strategy in STRATEGIES
        if possible(strategy, number)
        for checkpointing in (False, True)
    ]
    return '\n'.join([*_facts(counts, recipe, gpu, size, assumed), '', table(HEAD, rows)])


def _recipe(train_cfg: Mapping[str, Any], batch: int, images: int, epochs: int | None) -> Recipe:
    iterations = train_cfg.get('max_iters')
    if epochs is None and iterations is not None:
        return Recipe(batch, iterations * batch, f'{iterations:,} iterations')
    given = epochs or train_cfg.get('max_epochs')
    length = f'{given or ASSUMED_EPOCHS} epochs of {images:,} images'
    if not given:
        length += ' (the config names no length: --epochs)'
    return Recipe(batch, (given or ASSUMED_EPOCHS) * images, length)


def _mask_of(cfg: Config) -> tuple[float, int]:
    """Ratio and patch size of a config's random mask; those of the paper for other masks."""
    steps = ((cfg.get('train_dataloader') or {}).get('dataset') or {}).get('pipeline') or []
    for step in steps:
        if str(step.get('type')).removeprefix('simmim_mm.') == 'RandomPatchMask':
            ratio = step.get('mask_ratio', 0.6)
            return (ratio if isinstance(ratio, float) else 0.6), step.get('mask_patch_size', 32)
    return 0.6, 32


def _row(
    counts: Counts,
    recipe: Recipe,
    gpu: str,
    number: int,
    batch_per_gpu: int | None,
    strategy: str,
    checkpointing: bool,
    assumed: Assumptions,
) -> tuple[str, ...]:
    batch = batch_per_gpu or max(1, recipe.batch // number)
    plan = estimate(counts, GPUS[gpu], number, batch, strategy, checkpointing, assumed)
    speed = number * batch / plan.step
    state = plan.weights + plan.gradients + plan.optimizer
    return (
        str(number), strategy, 'yes' if checkpointing else 'no', str(batch),
        *(f'{value / 1e9:.1f}' for value in (state, plan.buffers, plan.activations, plan.memory)),
        'yes' if batch <= plan.largest_batch else 'no', str(plan.largest_batch),
        f'{1e3 * plan.step:.0f}', f'{1e3 * (plan.step - plan.compute):.0f}', f'{speed:,.0f}',
        f'{recipe.images / speed / 3600:.1f}', f'{plan.sent / 1e9:.2f}',
    )  # fmt: skip


def _facts(counts: Counts, recipe: Recipe, gpu: str, size: tuple[int, int], assumed: Assumptions) -> list[str]:
    hardware = GPUS[gpu]
    plain, checkpointed, block = (
        kept.per_image / 1e6 for kept in (counts.plain, counts.checkpointed, counts.largest_block)
    )
    return [
        f'Model: {counts.parameters:,} parameters; one image of {size[0]}x{size[1]} px: '
        f'{counts.forward / 1e9:.1f} GFLOPs forward, {counts.backward / 1e9:.1f} backward,',
        f'{counts.recomputed / 1e9:.1f} once more with checkpointing; {plain:.1f} MB kept for the backward pass, '
        f'{checkpointed:.1f} MB (and {block:.1f} MB inside one block) with it. Counted, in bf16.',
        f'GPU: {gpu}, {hardware.tflops:g} TFLOPS dense bf16, {hardware.memory:g} GB, {hardware.link:g} GB/s one way '
        f'inside a machine of {GPUS_PER_NODE}, {hardware.network:g} GB/s between machines.',
        f'Published: {" ".join(hardware.sources)}',
        f'Assumed, not measured: {assumed.mfu:.0%} of these operations (--mfu), {assumed.link_share:.0%} of these '
        f'bandwidths (--link-share), {assumed.memory_share:.0%} of the memory for tensors (--memory-share).',
        f'Recipe: batch {recipe.batch}, {recipe.length}. The table is an estimate.',
    ]
