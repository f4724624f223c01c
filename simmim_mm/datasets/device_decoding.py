"""Files of a batch become images on the device: decoded, cut out, resized, turned and mirrored.

On CUDA, torchvision decodes with nvJPEG. On the CPU, the decoder of the workers does: for comparison, and for tests.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from simmim_mm.datasets.decoding_failures import WAY_OUT, Failures
from simmim_mm.datasets.encoded import EncodedImages, Place
from simmim_mm.datasets.transforms import jpeg
from simmim_mm.datasets.transforms.masks import MASK_KEYS
from simmim_mm.datasets.transforms.stored import SIDEWAYS

# Of whole images that lie on the device at one time, which is 200 MB of them, however many a batch has.
MOST_PIXELS = 64_000_000
# What a decoder's picture may differ from that of the host, of 255: colours are interpolated in different ways.
TOLERANCE = 8

# From files, (N,) uint8 on the CPU, to whole images, (3, H, W) uint8 on the device.
Decoder = Callable[[list[Tensor]], list[Tensor]]


def check_device(device: torch.device) -> None:
    """Checks that a device can decode, with a small picture.

    Args:
        device: Of the model.

    Raises:
        ValueError: If it cannot, with what to do.
    """
    if device.type == 'cpu':
        return
    if device.type != 'cuda':
        raise ValueError(f"decode='device' decodes on CUDA devices, and the model is on {device.type!r}; {WAY_OUT}")
    rows, columns = np.mgrid[:128, :128]
    picture = np.stack([rows * 2, columns * 2, 255 - rows], axis=-1).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(picture).save(file, 'JPEG', quality=95)
    try:
        decoded = decoder_of(device)([torch.frombuffer(bytearray(file.getvalue()), dtype=torch.uint8)])[0].cpu()
    except Exception as error:  # of a torchvision without operators, of its decoder, of CUDA
        reason = ' '.join(str(error).split())[:200] or type(error).__name__
        raise ValueError(
            f"decode='device' needs a torchvision that decodes JPEG files on CUDA, and this one does not: {reason}; "
            f'install the build of torchvision that belongs to torch {torch.__version__}, or {WAY_OUT}'
        ) from error
    expected = torch.from_numpy(picture).permute(2, 0, 1)
    if decoded.shape != expected.shape or (decoded.float() - expected).abs().mean() > TOLERANCE:
        raise ValueError(f"decode='device': the decoder of {device} makes another picture of a file; {WAY_OUT}")


def decoder_of(device: torch.device) -> Decoder:
    """The decoder that decodes to a device.

    Args:
        device: The CPU or a CUDA device.

    Returns:
        A function that raises RuntimeError if any of its files cannot be decoded.
    """
    if device.type == 'cpu':
        return _decode_on_host
    from torchvision.io import ImageReadMode, decode_jpeg

    return lambda files: decode_jpeg(files, mode=ImageReadMode.RGB, device=device)


def _decode_on_host(files: list[Tensor]) -> list[Tensor]:
    images = []
    for file in files:
        data = file.numpy().tobytes()
        header = jpeg.read_header(data)
        image = None if header is None else jpeg.decode(data, header)
        if image is None:
            raise RuntimeError('it may be damaged')
        images.append(torch.from_numpy(image).permute(2, 0, 1))
    return images


def decode_images(batch: EncodedImages, device: torch.device) -> Tensor:
    """Makes the images of a batch.

    A file that the device cannot decode is decoded on the host, by Pillow, as a worker would. If that fails too, the
    row gets the image of the next row that has one, or of the spare sample, and the file is warned of and listed. A
    batch that is decoded again becomes the same images, without further looks at these files.

    On CUDA, this runs in a stream of its own, beside what the device has still to compute; the host waits for the
    decoder, and for nothing else.

    Args:
        batch: The files. It notes which rows got another image, and whose.
        device: Where the images are to be.

    Returns:
        (B, 3, H, W) uint8.

    Raises:
        DeviceDecodingError: If the device refuses all files of a batch, and Pillow reads most of them; or if too many
            batches in a row have no image that can be read.
    """
    decode, failures = decoder_of(device), Failures(batch, device)
    places = [place for place in batch.places if place.row not in batch.replaced]
    with _beside(device) as (wait, hand_over):
        images = torch.empty((len(batch), 3, *batch.image_hw), dtype=torch.uint8, device=device)
        if len(batch.ready):
            images[torch.tensor(batch.ready_rows, device=device)] = batch.ready.to(device, non_blocking=True)
        for chunk in chunks_of(places, MOST_PIXELS):
            wait()
            for place, whole in zip(chunk, _decode_each(batch, chunk, decode, failures), strict=True):
                if whole is not None:
                    images[place.row] = cut_out(whole.to(device), place)
        failures.fill_in(images)
        hand_over(images)
    return images


def decode_batch(data: dict[str, Any], device: torch.device, training: bool) -> dict[str, Any]:
    """Makes the images of all that a loader collated.

    Where an image took the place of another one, ``img_path`` of the batch that came in is changed to its file, in
    place, so that whoever holds the batch names the files that were used. Such a row keeps its own mask in training.
    Otherwise it becomes the very sample of that file, as with ``fixed=True`` of the data set, and counts once.

    Args:
        data: With ``inputs`` as :class:`~simmim_mm.datasets.encoded.EncodedImages`.
        device: See :func:`decode_images`, also for what is raised.
        training: Whether the batch is trained on.

    Returns:
        The same with ``inputs`` (B, 3, H, W) uint8.
    """
    batch: EncodedImages = data['inputs']
    images = decode_images(batch, device)
    if batch.replaced and 'img_path' in data:
        data['img_path'][:] = batch.paths
    if not training:
        for key in MASK_KEYS:
            for row, other in batch.replaced.items() if key in data else ():
                data[key][row] = batch.spare_sample[key][0] if other is None else data[key][other]
    return {**data, 'inputs': images}


@contextmanager
def _beside(device: torch.device) -> Iterator[tuple[Callable[[], None], Callable[[Tensor], None]]]:
    """A stream of its own on CUDA.

    torchvision decodes in yet another stream, into memory that belongs to this one, and does not wait for it: what is
    still to be computed here may read memory that was given back already. So the host waits before each call.

    Yields:
        What waits for all work of this stream, and what hands a tensor over to the stream of the caller.
    """
    if device.type != 'cuda':
        yield lambda: None, lambda tensor: None
        return
    stream, caller = _stream_of(device), torch.cuda.current_stream(device)
    with torch.cuda.stream(stream):
        yield stream.synchronize, lambda tensor: tensor.record_stream(caller)
    caller.wait_stream(stream)


@cache
def _stream_of(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)


def chunks_of(places: Sequence[Place], most_pixels: int) -> Iterator[list[Place]]:
    """Files that are decoded in one call.

    Args:
        places: All files.
        most_pixels: Of their whole images together; a larger one is decoded alone.
    """
    chunk: list[Place] = []
    pixels = 0
    for place in places:
        more = place.stored_height * place.stored_width
        if chunk and pixels + more > most_pixels:
            yield chunk
            chunk, pixels = [], 0
        chunk.append(place)
        pixels += more
    if chunk:
        yield chunk


def cut_out(whole: Tensor, place: Place) -> Tensor:
    """The part of an image that a sample is.

    Args:
        whole: (3, stored height, stored width) uint8.
        place: Which part, and what is to be made of it.

    Returns:
        (3, H, W) uint8.
    """
    part = whole[:, place.top : place.top + place.height, place.left : place.left + place.width]
    size = (place.new_height, place.new_width)
    if part.shape[1:] != size:
        # In floating point, as CUDA has no kernel for 8 bits.
        part = F.interpolate(part[None].float(), size, mode='bilinear', antialias=True, align_corners=False)[0]
        part = part.round_().to(torch.uint8)
    if place.orientation in SIDEWAYS:
        part = part.transpose(1, 2)
    columns = (place.orientation in (2, 3, 6, 7)) != bool(place.mirrored)
    axes = [axis for axis, turned in ((1, place.orientation in (3, 4, 7, 8)), (2, columns)) if turned]
    return part.flip(axes) if axes else part


def _decode_each(
    batch: EncodedImages, chunk: Sequence[Place], decode: Decoder, failures: Failures
) -> list[Tensor | None]:
    """The whole images of some files; None for those that cannot be decoded."""
    images = _try(batch, chunk, decode)
    if isinstance(images, list):
        return list(images)
    single: list[Tensor | None] = []
    for place in chunk:  # which of them it was, no decoder tells
        image = _try(batch, [place], decode)
        single.append(image[0] if isinstance(image, list) else failures.decode_on_host(place, image))
    return single


def _try(batch: EncodedImages, chunk: Sequence[Place], decode: Decoder) -> list[Tensor] | RuntimeError:
    try:
        images = decode([batch.file(place) for place in chunk])
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        return error
    for place, image in zip(chunk, images, strict=True):
        if image.shape != (3, place.stored_height, place.stored_width):
            return RuntimeError(f'it became an image of shape {tuple(image.shape)}')
    return images
