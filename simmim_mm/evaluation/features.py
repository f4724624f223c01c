"""Features of whole images: what an encoder makes of them, as one vector each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from mmengine import dist
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from simmim_mm.datasets.transforms import LoadImage, LoadMap, MaskGenerator, UnreadableImageError
from simmim_mm.datasets.transforms.stored import ImageSettingError
from simmim_mm.datasets.workers import start_worker
from simmim_mm.models import SimMIM
from simmim_mm.models.outputs import first_tensor, last_map
from simmim_mm.models.probe import evaluating
from simmim_mm.visualization import load_sample, picture_pipeline

# Images that are tried before training, and most that are named where they are left out.
TRIED = 8
SHOWN = 5


class WholeImages(Dataset):
    """Images without masks and augmentation, at the size of the training.

    Args:
        sample_of: What a data set knows of the sample at a position, such as ``{'img_path': ...}``.
        positions: Which samples.
        transforms: The training pipeline, built.
    """

    def __init__(
        self, sample_of: Callable[[int], dict], positions: Sequence[int], transforms: Sequence[Callable]
    ) -> None:
        self.sample_of = sample_of
        self.positions = positions
        drawn = [step for step in picture_pipeline(transforms) if not isinstance(step, MaskGenerator | LoadMap)]
        has_array = 'img' in sample_of(positions[0])
        self.transforms = [step for step in drawn if not (has_array and isinstance(step, LoadImage))]
        if not has_array and not any(isinstance(step, LoadImage) for step in drawn):
            raise ValueError(
                'the images to take features of are files, and the training pipeline, which they go through, does not '
                "begin with dict(type='LoadImage')"
            )

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, number: int) -> tuple[int, Tensor | None]:
        """Number and image (C, H, W); None in place of one that cannot be read, or that the settings do not fit."""
        try:
            return number, self._load(number)
        except (UnreadableImageError, ImageSettingError):
            return number, None

    def _load(self, number: int) -> Tensor:
        position = self.positions[number]
        return load_sample(self.sample_of(position), self.transforms, position)['inputs']

    def check(self) -> None:
        """Tries some images, so that what is wrong with all of them is known before training.

        If none of those can be read, all others are tried until one can be used.

        Raises:
            ValueError: If the settings fit none of them, for example their channels, or none at all can be used.
        """
        some = sorted({round(place * (len(self) - 1) / (TRIED - 1)) for place in range(TRIED)})
        unfit = None
        for tried, number in enumerate([*some, *sorted(set(range(len(self))).difference(some))]):
            if tried >= len(some) and unfit is not None:
                break
            try:
                self._load(number)
            except UnreadableImageError:
                continue
            except ImageSettingError as error:
                unfit = unfit or error
                continue
            return
        if unfit is not None:
            raise ImageSettingError(str(unfit)) from unfit
        raise ValueError(
            f'{self.why_left_out(range(len(self)))}. None is left to take features of; name a folder of sound images, '
            'or copy these again'
        )

    def why_left_out(self, numbers: Sequence[int]) -> str:
        """Says how many images were left out, and why, of a few of them.

        Args:
            numbers: Which ones, at least one.
        """
        reasons = []
        for number in numbers[:SHOWN]:
            try:
                self._load(number)
            except (UnreadableImageError, ImageSettingError) as error:
                reasons.append(str(error))
        examples = f': {"; ".join(reasons)}' if reasons else ', which can be read again now'
        more = f'; and {len(numbers) - SHOWN} more' if len(numbers) > SHOWN else ''
        return (
            f'{len(numbers)} of {len(self)} images are left out of the features, as they cannot be read or do not fit '
            f'the settings{examples}{more}'
        )


@torch.no_grad()
def encode_images(
    model: SimMIM, images: WholeImages, batch_size: int = 64, num_workers: int = 0, block: str | None = None
) -> tuple[Tensor, Tensor]:
    """Takes the features of images, in all processes together.

    The model is in evaluation mode meanwhile, and no global random state is drawn from.

    Args:
        model: A SimMIM model (unwrapped).
        images: What to encode; each process encodes its share.
        batch_size: Images at once in one process.
        num_workers: Processes that load.
        block: Which part of the encoder to take the output of, see :func:`find_block`; None for the last feature map.

    Returns:
        Features (N, D) float32, on the model's device, and which of the images they are of, (N,) int64 in ascending
        order: all that could be used, each once, the same in all processes.
    """
    rank, world_size = dist.get_rank(), dist.get_world_size()
    rounds = -(-len(images) // world_size)
    # All processes take as many steps, as weights that are shared out need; the last one may take an image once more.
    share = [number * world_size + rank for number in range(rounds)]
    loader = DataLoader(
        images,
        batch_size=batch_size,
        sampler=[number % len(images) for number in share],
        num_workers=num_workers,
        collate_fn=_as_lists,
        worker_init_fn=start_worker if num_workers else None,
        generator=torch.Generator(),  # the loader draws a seed, from the global generator otherwise
    )
    numbers, features = [], []
    with evaluating(model), _watched(model.backbone, block) as watched:
        for batch_numbers, tensors in loader:
            # An unreadable image becomes a black one: without it, this process could take fewer steps than others.
            black = next((torch.zeros_like(each) for each in tensors if each is not None), _black(model))
            inputs = torch.stack([black if each is None else each for each in tensors])
            features.append(pooled(model, inputs, watched))
            numbers += [-1 if each is None else number for number, each in zip(batch_numbers, tensors, strict=True)]
    found = torch.cat(features)
    places = torch.tensor(numbers, device=found.device)
    if world_size > 1:
        found, places = torch.cat(dist.all_gather(found)), torch.cat(dist.all_gather(places))
    return _each_once(found, places)


def pooled(model: SimMIM, inputs: Tensor, watched: list[Any] | None = None) -> Tensor:
    """Features of a batch.

    Args:
        model: A SimMIM model, in evaluation mode.
        inputs: (B, C, H, W), as the loader hands them out.
        watched: Which gets the output of a part of the encoder; None for the last feature map.

    Returns:
        (B, D) float32, the mean over all cells, class tokens left out.

    Raises:
        ValueError: If the part's output is neither (B, N, D), nor (B, D, h, w), nor a tuple that begins with one.
    """
    data = model.data_preprocessor({'inputs': inputs})
    outputs = model(data['inputs'], mode='tensor')
    if watched is None:
        return last_map(outputs, model.backbone).float().mean(dim=(2, 3))
    if not watched:
        raise ValueError('block was not computed in the forward pass of the encoder; name another one')
    tokens = first_tensor(watched[-1])
    watched.clear()
    if not isinstance(tokens, Tensor) or tokens.ndim not in (3, 4):
        shape = tuple(tokens.shape) if isinstance(tokens, Tensor) else type(tokens).__name__
        raise ValueError(f'the output of block is {shape}, neither (B, N, D) nor (B, D, h, w); name another one')
    if tokens.ndim == 4:
        return tokens.float().mean(dim=(2, 3))
    return tokens[:, getattr(model.backbone, 'num_extra_tokens', 0) :].float().mean(dim=1)


def find_block(backbone: nn.Module, block: str) -> nn.Module:
    """The part of an encoder that a path names.

    Args:
        backbone: The encoder.
        block: Such as ``'layers.7'`` for the 8th block of a ViT, or ``'stages.2'`` for the third stage of a Swin.

    Raises:
        ValueError: If there is none, with those that there are.
    """
    try:
        return backbone.get_submodule(block)
    except AttributeError as error:
        names = [name for name, _ in backbone.named_modules() if name and name.count('.') <= 1]
        raise ValueError(
            f'block={block!r} is no part of {type(backbone).__name__}; use one of its parts, such as '
            f'{", ".join(names[:12])}'
        ) from error


@contextmanager
def _watched(backbone: nn.Module, block: str | None) -> Iterator[list[Any] | None]:
    """A list that gets the output of a block in each forward pass; None for no block."""
    if block is None:
        yield None
        return
    outputs: list[Any] = []
    handle = find_block(backbone, block).register_forward_hook(lambda module, args, output: outputs.append(output))
    try:
        yield outputs
    finally:
        handle.remove()


def _black(model: SimMIM) -> Tensor:
    preprocessor = model.data_preprocessor
    dtype = torch.float32 if getattr(preprocessor, 'stored_values', False) else torch.uint8
    return torch.zeros(preprocessor.channels, *model.image_hw, dtype=dtype)


def check_block(model: SimMIM, block: str | None) -> None:
    """Tries to take features of a black image.

    Args:
        model: See :func:`encode_images`, for this and the next.
        block: Part of the encoder.

    Raises:
        ValueError: If there is no such part, or its output is of another form.
    """
    with torch.no_grad(), evaluating(model), _watched(model.backbone, block) as watched:
        pooled(model, _black(model)[None], watched)


def _as_lists(samples: list[tuple[int, Tensor | None]]) -> tuple[list[int], list[Tensor | None]]:
    return [number for number, _ in samples], [image for _, image in samples]


def _each_once(features: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
    """Sorts by number; leaves out what is below 0 and what is there already."""
    numbers, order = numbers.sort(stable=True)
    first = torch.ones_like(numbers, dtype=torch.bool)
    first[1:] = numbers[1:] != numbers[:-1]
    first &= numbers >= 0
    return features[order][first], numbers[first]
