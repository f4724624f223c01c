"""Batches that are decoded behind the loader against batches that workers decode."""

import io

import numpy as np
import pytest
import torch
from mmengine.dataset import default_collate
from odd_images import make_folder
from PIL import Image
from torch.utils.data import DataLoader

from simmim_mm.datasets import SampleIndex, SeededSampler, ShardedImages, UnlabelledImages, stack_samples, unused_files
from simmim_mm.datasets import decoding_failures as failures
from simmim_mm.datasets import device_decoding as decoding
from simmim_mm.datasets.encoded import EncodedImages, Place
from simmim_mm.datasets.pack_shards import pack_shards
from simmim_mm.datasets.randomness import Moment
from simmim_mm.datasets.transforms import MaskGenerator, jpeg
from simmim_mm.datasets.transforms.undecoded import is_for_device
from simmim_mm.models import MaskedImagePreprocessor

PIPELINE = [
    dict(type='LoadImage', grey='repeat'),
    dict(type='RandomResizedCrop', size=(64, 96)),
    dict(type='RandomFlip'),
    dict(type='RandomPatchMask', mask_patch_size=16),
    dict(type='PackMaskedImage'),
]
CPU = torch.device('cpu')


@pytest.fixture
def folder(tmp_path, photographs):
    """Photographs of 300x220 pixels: JPEG of all kinds, turned in all ways, and files that are none."""
    place = tmp_path / 'images'
    place.mkdir()
    small = [Image.fromarray(photographs[name]).resize((300, 220)) for name in ('astronaut', 'coffee', 'chelsea')]
    for number in range(9):
        exif = Image.Exif()
        if number:
            exif[0x0112] = number
        small[number % 3].save(place / f'turned {number}.jpg', quality=90, exif=exif, subsampling=number % 3)
    small[0].save(place / 'progressive.jpg', quality=90, progressive=True)
    small[0].convert('L').save(place / 'grey.jpg', quality=90)
    small[1].convert('CMYK').save(place / 'inks.jpg', quality=90)
    small[2].save(place / 'a.png')
    return str(place)


def _set(folder, decode='device', pipeline=PIPELINE, **options):
    return UnlabelledImages(folder, pipeline=pipeline, decode=decode, **options)


def _batch(dataset, positions=None, epoch=0):
    positions = range(len(dataset)) if positions is None else positions
    return stack_samples(dataset.__getitems__([SampleIndex(each, 0, epoch) for each in positions]))


def _off(one, other):
    return (one.float() - other.float()).abs()


def test_the_same_crops_flips_and_masks(folder):
    """Over epochs, so that all flips meet all rotations; against files that workers decode whole."""
    device, worker = _set(folder), _set(folder, 'worker', fast=False)
    mirrored = set()
    for epoch in range(6):
        encoded, expected = _batch(device, epoch=epoch), _batch(worker, epoch=epoch)
        assert isinstance(encoded['inputs'], EncodedImages)
        assert (len(encoded['inputs']), len(encoded['inputs'].places)) == (13, 10)
        assert encoded['img_path'] == expected['img_path']
        assert torch.equal(encoded['mask'], expected['mask'])
        mirrored |= {(place.orientation, place.mirrored) for place in encoded['inputs'].places}
        images = decoding.decode_images(encoded['inputs'], CPU)
        assert (images.dtype, images.shape) == (torch.uint8, (13, 3, 64, 96))
        difference = _off(images, expected['inputs'])
        assert difference.mean((1, 2, 3)).max() < 0.5  # of 255: rounding, once and not twice
        assert difference.max() <= 2
        assert not difference[encoded['inputs'].ready_rows].any()
    assert len(mirrored) > 12


def test_the_boxes_of_much_larger_images(tmp_path, photographs):
    """Which workers decode at a fraction of their size: within 2 of 255."""
    for name in ('coffee', 'rocket'):
        Image.fromarray(photographs[name]).save(tmp_path / f'{name}.jpg', quality=92)
    one, other = _batch(_set(str(tmp_path))), _batch(_set(str(tmp_path), 'worker'))
    assert _off(decoding.decode_images(one['inputs'], CPU), other['inputs']).mean() < 2
    assert torch.equal(one['mask'], other['mask'])


def test_a_decoder_that_repeats_colours_is_within_2_of_255(folder, monkeypatch):
    """As nvJPEG does where torchvision calls it: colours of 4:2:0 are repeated, not interpolated."""
    simplejpeg = pytest.importorskip('simplejpeg')

    def decode(files):
        images = [simplejpeg.decode_jpeg(file.numpy().tobytes(), fastdct=True, fastupsample=True) for file in files]
        return [torch.from_numpy(image).permute(2, 0, 1) for image in images]

    encoded = _batch(_set(folder))['inputs']
    expected = decoding.decode_images(encoded, CPU)
    monkeypatch.setattr(decoding, '_decode_on_host', decode)
    assert 0 < _off(decoding.decode_images(encoded, CPU), expected).mean() < 2


def test_the_preprocessor_decodes(folder):
    """And normalises what it decoded; the batch that came in stays as it was."""
    preprocessor = MaskedImagePreprocessor(channels=3)
    batch = _batch(_set(folder))
    plain = {**batch, 'inputs': decoding.decode_images(batch['inputs'], CPU)}
    assert torch.equal(preprocessor(batch, True)['inputs'], preprocessor(plain, True)['inputs'])
    assert isinstance(batch['inputs'], EncodedImages)


@pytest.mark.parametrize('num_workers', [0, 2])
def test_through_a_loader(folder, num_workers):
    """With workers and without: the same batches, in shared memory; single samples are decoded at once."""
    dataset = _set(folder)
    loader = DataLoader(
        dataset, 4, sampler=SeededSampler(dataset, seed=1), collate_fn=stack_samples, num_workers=num_workers
    )
    order = list(SeededSampler(dataset, seed=1))
    worker = _set(folder, 'worker')
    for number, batch in enumerate(loader):
        expected = stack_samples(worker.__getitems__(order[4 * number : 4 * number + 4]))
        assert torch.equal(batch['mask'], expected['mask'])
        assert batch['img_path'] == expected['img_path']
        if isinstance(batch['inputs'], EncodedImages):
            assert batch['inputs'].content.is_shared() == (num_workers > 0)
            assert _off(decoding.decode_images(batch['inputs'], CPU), expected['inputs']).mean() < 2
    assert torch.equal(dataset[order[0]]['inputs'], worker[order[0]]['inputs'])


def test_batches_of_several_sizes(folder):
    """Of a batch, all have its size."""
    crop = dict(type='RandomResizedCrop', size=64, sizes=[64, (32, 96)])
    pipeline = [PIPELINE[0], crop, *PIPELINE[2:]]
    device, worker = _set(folder, pipeline=pipeline), _set(folder, 'worker', pipeline=pipeline)
    sizes = set()
    for iteration in range(6):
        indices = [SampleIndex(each, 0, 0, moment=Moment(iteration, 0.0)) for each in range(4)]
        one, other = (stack_samples(dataset.__getitems__(indices)) for dataset in (device, worker))
        images = decoding.decode_images(one['inputs'], CPU)
        assert images.shape == other['inputs'].shape
        assert _off(images, other['inputs']).mean() < 2
        sizes.add(images.shape[2:])
    assert sizes == {(64, 64), (32, 96)}


def test_batches_without_such_files_are_plain(image_folder):
    """PNG files alone."""
    folder = image_folder(3)
    one, other = _batch(_set(folder)), _batch(_set(folder, 'worker'))
    assert torch.equal(one['inputs'], other['inputs'])


def test_from_shards(folder, tmp_path):
    """A file is a part of a larger one."""
    pytest.importorskip('webdataset')
    pack_shards(folder, str(tmp_path / 'shards'))
    one, other = (
        ShardedImages(str(tmp_path / 'shards'), pipeline=PIPELINE, decode=each) for each in ('device', 'worker')
    )
    batch, expected = _batch(one), _batch(other)
    assert len(batch['inputs'].places) == 10
    assert _off(decoding.decode_images(batch['inputs'], CPU), expected['inputs']).mean() < 2


def test_odd_and_damaged_files(tmp_path, photographs, monkeypatch):
    """Of every kind: the same are skipped, for the same reasons, and the same replace them."""
    monkeypatch.setattr('simmim_mm.datasets.transforms.undecoded.SCAN_HEADERS', 0)  # small files go to the device too
    make_folder(tmp_path / 'odd', photographs)
    found = []
    for decode in ('worker', 'device'):
        dataset = _set(str(tmp_path / 'odd'), decode, max_unreadable=1.0, unfit='skip')
        dataset.unreadable_log = str(tmp_path / f'{decode}.txt')
        batch = _batch(dataset)
        with open(dataset.unreadable_log) as file:
            found.append((batch, dataset.unreadable.tolist(), file.read()))
    (one, *said), (other, *expected) = found[1], found[0]
    assert said == expected
    assert one['img_path'] == other['img_path']
    assert torch.equal(one['mask'], other['mask'])
    assert len(one['inputs'].places) > 3
    assert _off(decoding.decode_images(one['inputs'], CPU), other['inputs']).mean((1, 2, 3)).max() < 3


def _saved(image, **options):
    file = io.BytesIO()
    image.save(file, 'JPEG', **{'quality': 90, **options})
    return file.getvalue()


def test_what_is_left_to_the_device(photographs):
    """Colours in the usual samplings; not what a worker has to look into."""
    image = Image.fromarray(photographs['coffee']).resize((300, 220))
    plain = _saved(image)

    def is_left(data):
        header = jpeg.read_header(data)
        return header is not None and is_for_device(data, header)

    for options in ({}, dict(subsampling=0), dict(subsampling=1), dict(progressive=True), dict(exif=b'Exif\0\0')):
        assert is_left(_saved(image, **options))
    blank = Image.new('RGB', (3000, 2000), (10, 200, 30))
    for options in ({}, dict(subsampling=0), dict(progressive=True), dict(restart_marker_rows=1)):
        assert not is_left(_saved(blank, **options))
    odd_sampling = plain.replace(b'\x01\x22\x00\x02\x11\x01', b'\x01\x22\x00\x02\x12\x01')
    assert odd_sampling != plain
    for data in (
        plain[:-2],
        plain[: len(plain) // 2],
        plain + b'trailer',
        odd_sampling,
        _saved(image.convert('L')),
        _saved(image.convert('CMYK')),
        _saved(image, keep_rgb=True),
        plain[:2] + b'\xff\xee\x00\x0eAdobe\0\x64\0\0\0\0\0' + plain[2:],
    ):
        assert not is_left(data)
    assert is_left(plain[:2] + b'\xff\xee\x00\x0eAdobe\0\x64\0\0\0\0\1' + plain[2:])


def test_chunks_hold_all_files_in_order():
    """Whatever their size; none is above the limit, but for single files."""
    rng = np.random.default_rng(0)
    places = [Place(row, 0, 0, *rng.integers(1, 60, 2).tolist(), *[0] * 8) for row in range(50)]
    chunks = list(decoding.chunks_of(places, most_pixels=1000))
    assert [place for chunk in chunks for place in chunk] == places
    for chunk, following in zip(chunks, [*chunks[1:], []], strict=True):
        pixels = [place.stored_height * place.stored_width for place in [*chunk, *following[:1]]]
        assert len(chunk) == 1 or sum(pixels[: len(chunk)]) <= 1000
        assert not following or sum(pixels) > 1000
    assert list(decoding.chunks_of([], 1000)) == []


def test_chunks_change_nothing(folder, monkeypatch):
    """All files in one call, or two in each."""
    batch = _batch(_set(folder))['inputs']
    expected = decoding.decode_images(batch, CPU)
    monkeypatch.setattr(decoding, 'MOST_PIXELS', 2 * 300 * 220)
    assert torch.equal(decoding.decode_images(batch, CPU), expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
def test_on_a_gpu(folder, monkeypatch):
    """Within 2 of 255 of the host; the same with many small calls while the device is busy otherwise."""
    device = torch.device('cuda', 0)
    decoding.check_device(device)
    batch = _batch(_set(folder))['inputs'].pin_memory()
    images = decoding.decode_images(batch, device)
    assert _off(images.cpu(), decoding.decode_images(batch, CPU)).mean() < 2
    monkeypatch.setattr(decoding, 'MOST_PIXELS', 1)
    matrix = torch.rand(4096, 4096, device=device)
    for _ in range(20):
        matrix = torch.softmax(matrix @ matrix, -1)
        assert torch.equal(decoding.decode_images(batch, device), images)


@pytest.fixture
def warnings_of(monkeypatch):
    """What is warned of."""
    texts = []
    monkeypatch.setattr(failures, 'print_log', lambda text, **_: texts.append(text))
    monkeypatch.setattr(failures.Failures, 'num_warnings', 0)
    monkeypatch.setattr(failures.Failures, 'num_in_a_row', 0)
    return texts


def test_files_that_a_device_refuses_are_decoded_on_the_host(folder, monkeypatch, warnings_of):
    """Each batch as a whole, as torchvision does it; one file by one; and the rest as ever."""
    batch = _batch(_set(folder))['inputs']
    expected, decode = decoding.decode_images(batch, CPU), decoding._decode_on_host
    refused = [batch.file(batch.places[number]) for number in (2, 5)]

    def refuse(files):
        if any(torch.equal(file, other) for file in files for other in refused):
            raise RuntimeError('not supported')
        return decode(files)

    monkeypatch.setattr(decoding, '_decode_on_host', refuse)
    assert torch.equal(decoding.decode_images(batch, CPU), expected)
    assert [text.partition(' is decoded on the host, as cpu cannot: not supported')[0] for text in warnings_of] == [
        batch.paths[batch.places[number].row] for number in (2, 5)
    ]


def test_images_of_another_shape_are_not_taken(folder, monkeypatch, warnings_of):
    """Than the header says."""
    batch = _batch(_set(folder), [0, 3, 4])['inputs']
    expected, decode = decoding.decode_images(batch, CPU), decoding._decode_on_host
    monkeypatch.setattr(decoding, '_decode_on_host', lambda files: [image[:, 1:] for image in decode(files)])
    assert torch.equal(decoding.decode_images(batch, CPU), expected)
    assert all('it became an image of shape' in text for text in warnings_of)


def test_want_of_memory_is_not_the_fault_of_a_file(folder, monkeypatch):
    def decode(files):
        raise torch.OutOfMemoryError('CUDA out of memory')

    monkeypatch.setattr(decoding, '_decode_on_host', decode)
    with pytest.raises(torch.OutOfMemoryError):
        decoding.decode_images(_batch(_set(folder))['inputs'], CPU)


@pytest.fixture
def damage():
    """Breaks the first table of codes of a file, which no look at its structure tells."""

    def write(path):
        with open(path, 'rb') as file:
            data = bytearray(file.read())
        at = data.index(b'\xff\xc4')
        data[at + 5 : at + 21] = b'\xff' * 16
        with open(path, 'wb') as file:
            file.write(data)

    return write


def test_damage_that_shows_on_the_device_alone(folder, tmp_path, damage, warnings_of):
    """The next row's image takes its place, its mask stays, and the file is listed: no black image."""
    for number in (1, 2):
        damage(f'{folder}/turned {number}.jpg')
    dataset = _set(folder)
    dataset.unreadable_log = str(tmp_path / 'list.txt')
    paths = [dataset.get_data_info(row)['img_path'] for row in range(13)]
    order = [paths.index(f'{folder}/turned {number}.jpg') for number in (3, 1, 2, 4, 5)]
    batch = _batch(dataset, order)['inputs']
    images = decoding.decode_images(batch, CPU)
    sound = decoding.decode_images(_batch(dataset, [order[0], *order[3:]])['inputs'], CPU)
    assert torch.equal(images, sound[[0, 1, 1, 1, 2]])
    assert batch.paths == [paths[order[row]] for row in (0, 3, 3, 3, 4)]
    lines = (tmp_path / 'list.txt').read_text().splitlines()
    assert [line.split('\t')[:2] for line in lines] == [[paths[row], 'damaged or cut off'] for row in order[1:3]]
    assert len(warnings_of) == 2
    assert all(text.endswith(f'; {paths[order[3]]} takes its place') for text in warnings_of)
    assert torch.equal(decoding.decode_images(batch, CPU), images)  # again, as for a batch that is saved
    assert len(warnings_of) == 2
    assert (tmp_path / 'list.txt').read_text().splitlines() == lines
    last = decoding.decode_images(_batch(dataset, [order[0], order[1]])['inputs'], CPU)
    assert torch.equal(last[1], last[0])


def test_names_in_the_list_can_be_read_back(tmp_path, photographs, damage, warnings_of):
    """Whatever a file is called, and as workers write it; the warning stays on one line."""
    for name in ('a.jpg', 'na\\me\n\u00fc b.jpg'):
        Image.fromarray(photographs['coffee']).resize((300, 220)).save(tmp_path / name, quality=90)
    damage(str(tmp_path / name))
    found = []
    for decode in ('device', 'worker'):
        dataset = _set(str(tmp_path), decode)
        dataset.unreadable_log = str(tmp_path / f'{decode}.txt')
        batch = _batch(dataset)
        if decode == 'device':
            MaskedImagePreprocessor()(batch, True)
        found.append([unused.path for unused in unused_files.read(dataset.unreadable_log)])
    assert found == [[str(tmp_path / name)]] * 2
    (text,) = warnings_of
    assert '\n' not in text
    assert 'na\\me\\n\u00fc b.jpg: ' in text


@pytest.mark.parametrize('pin', [False, True])
def test_a_batch_names_the_files_that_were_used(folder, damage, warnings_of, pin):
    """In training, rows keep their masks; in validation they are the very sample of the other file."""
    damage(f'{folder}/turned 1.jpg')
    damage(f'{folder}/turned 4.jpg')
    dataset = _set(folder, fixed=True)
    paths = [dataset.get_data_info(row)['img_path'] for row in range(13)]
    rows = [paths.index(f'{folder}/turned {number}.jpg') for number in (1, 2, 3, 4)]
    for training in (True, False):
        batch = _batch(dataset, rows)
        if pin:  # which copies the list, as PyTorch's loader does
            batch['img_path'] = list(batch['img_path'])
        masks = batch['mask'].clone()
        result = MaskedImagePreprocessor()(batch, training)
        expected = [paths[rows[row]] for row in (1, 1, 2, 1)]
        assert batch['img_path'] == result['img_path'] == expected
        assert torch.equal(result['inputs'][[0, 3]], result['inputs'][[1, 1]])
        assert not torch.equal(masks[0], masks[1])
        assert torch.equal(result['mask'], masks if training else masks[[1, 1, 2, 1]])


@pytest.mark.parametrize('fixed', [False, True])
def test_a_batch_of_damaged_files_becomes_the_spare_sample(folder, damage, warnings_of, fixed):
    """Also a batch of one; the same one in each data set, as after a resume, and as a worker makes it."""
    damage(f'{folder}/turned 1.jpg')
    dataset, other, worker = _set(folder, fixed=fixed), _set(folder, fixed=fixed), _set(folder, 'worker', fixed=fixed)
    paths = [dataset.get_data_info(row)['img_path'] for row in range(13)]
    row = paths.index(f'{folder}/turned 1.jpg')
    _batch(other, [5, 6])
    (one, two), again = (_batch(dataset, [row] * num) for num in (1, 2)), _batch(other, [row], epoch=3)
    images = [MaskedImagePreprocessor()(batch, False) for batch in (one, two, again)]
    for batch in images:
        assert set(batch['img_path']) == {one['img_path'][0]} < {*paths} - {paths[row]}
        assert torch.equal(batch['inputs'], images[0]['inputs'].expand_as(batch['inputs']))
    expected = worker[SampleIndex(paths.index(one['img_path'][0]), 0, 0)]
    assert torch.equal(one['inputs'].spare['inputs'][0], expected['inputs'])
    assert torch.equal(one['mask'][0], expected['mask'])
    assert not dataset.unreadable.any()
    assert f'; {one["img_path"][0]} takes its place' in warnings_of[0]


def test_spare_samples_of_all_sizes(folder, damage, warnings_of):
    """Through workers, which send one where no image of a batch is decoded yet."""
    damage(f'{folder}/turned 1.jpg')
    crop = dict(type='RandomResizedCrop', size=64, sizes=[64, (32, 96)])
    dataset = _set(folder, pipeline=[PIPELINE[0], crop, *PIPELINE[2:]])
    row = next(row for row in range(13) if dataset.get_data_info(row)['img_path'].endswith('turned 1.jpg'))
    batches = [[SampleIndex(row, 0, 0, moment=Moment(iteration, 0.0))] for iteration in range(6)]
    sizes = set()
    for batch in DataLoader(dataset, batch_sampler=batches, collate_fn=stack_samples, num_workers=1):
        images = decoding.decode_images(batch['inputs'], CPU)
        assert images.shape[2:] == batch['inputs'].image_hw
        assert images.float().std() > 10  # of 255: a photograph
        sizes.add(images.shape[2:])
    assert sizes == {(64, 64), (32, 96)}
    png = next(row for row in range(13) if dataset.get_data_info(row)['img_path'].endswith('.png'))
    assert _batch(_set(folder), [row])['inputs'].spare is not None
    assert _batch(_set(folder), [row, png])['inputs'].spare is None


def test_the_device_is_blamed_for_what_pillow_reads(folder, damage, monkeypatch, warnings_of):
    """All files of a batch, of which Pillow reads most. Damaged ones are replaced, however many."""
    batch = lambda: _batch(_set(folder))['inputs']  # noqa: E731
    num_files = len(batch().places)

    def refuse(files):
        raise RuntimeError('nvJPEG\nis ill')

    monkeypatch.setattr(decoding, '_decode_on_host', refuse)
    with pytest.raises(failures.DeviceDecodingError, match="none of the 10 files.*nvJPEG is ill.*decode='worker'"):
        decoding.decode_images(batch(), CPU)
    for number in range(num_files // 2 - 1):
        damage(f'{folder}/turned {number}.jpg')
    with pytest.raises(failures.DeviceDecodingError, match='of the 10 files of a batch, and Pillow 6 of them'):
        decoding.decode_images(batch(), CPU)
    for number in range(num_files // 2 - 1, 9):
        damage(f'{folder}/turned {number}.jpg')
    mixed = batch()  # nine damaged JPEG files, one that Pillow reads, and three that workers decoded
    images = decoding.decode_images(mixed, CPU)
    assert len(mixed.replaced) == 9
    assert torch.equal(decoding.decode_images(mixed, CPU), images)
    assert images.float().flatten(1).std(1).min() > 10


def test_many_batches_without_an_image_stop_the_run(folder, damage, monkeypatch, warnings_of):
    """Ten in a row, or one if there is no other sample; one that is decoded again counts once."""
    damage(f'{folder}/turned 1.jpg')
    dataset = _set(folder)
    paths = [dataset.get_data_info(row)['img_path'] for row in range(13)]
    row, sound = (paths.index(f'{folder}/turned {number}.jpg') for number in (1, 2))
    damaged = lambda: _batch(dataset, [row])['inputs']  # noqa: E731
    for _ in range(9):
        decoding.decode_images(damaged(), CPU)
    decoding.decode_images(_batch(dataset, [sound])['inputs'], CPU)
    for _ in range(9):
        batch = damaged()
        decoding.decode_images(batch, CPU)
        decoding.decode_images(batch, CPU)
    with pytest.raises(failures.DeviceDecodingError, match=r'of 10 batches in a row can be decoded.*turned 1\.jpg: '):
        decoding.decode_images(damaged(), CPU)


def test_a_set_without_a_sound_file_stops_the_run(tmp_path, photographs, damage, warnings_of):
    """At the first batch, in one line."""
    for name in ('a\n.jpg', 'b.jpg'):
        Image.fromarray(photographs['coffee']).resize((300, 220)).save(tmp_path / name, quality=90)
        damage(str(tmp_path / name))
    with pytest.raises(failures.DeviceDecodingError, match='no other of the data set was found') as caught:
        decoding.decode_images(_batch(_set(str(tmp_path)))['inputs'], CPU)
    assert '\n' not in str(caught.value)
    assert 'a\\n.jpg: ' in str(caught.value)


def test_devices_are_tried_before_a_run(monkeypatch):
    """One without a decoder, one that makes black images, one that works; and this machine's."""
    cuda = torch.device('cuda', 0)
    decoding.check_device(CPU)
    with pytest.raises(ValueError, match="on CUDA devices, and the model is on 'mps'"):
        decoding.check_device(torch.device('mps'))
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="needs a torchvision that decodes.*use decode='worker'"):
            decoding.check_device(cuda)
    monkeypatch.setattr(decoding, 'decoder_of', lambda device: decoding._decode_on_host)
    decoding.check_device(cuda)
    black = lambda files: [torch.zeros_like(image) for image in decoding._decode_on_host(files)]  # noqa: E731
    monkeypatch.setattr(decoding, 'decoder_of', lambda device: black)
    with pytest.raises(ValueError, match='makes another picture'):
        decoding.check_device(cuda)


class Mine(MaskGenerator):
    """Of a user, which says nothing of pixels."""

    def _draw(self, grid_hw, ratio, rng, results):
        return np.zeros(grid_hw, bool)


class Blind(Mine):
    """Which says that it needs none."""

    reads_image = False


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        (dict(decode='gpu'), "decode='gpu' of UnlabelledImages is unknown; use 'worker' or 'device'"),
        (dict(rough=True), 'rough and fast are about that of workers'),
        (dict(fast=False), 'rough and fast are about that of workers'),
        (dict(pipeline=PIPELINE[:-1]), 'ends with PackMaskedImage'),
        (dict(pipeline=[PIPELINE[0], *PIPELINE[2:]]), 'begins with LoadImage and RandomResizedCrop'),
        (dict(pipeline=[dict(type='LoadImage', channels=1), *PIPELINE[1:]]), 'channels of LoadImage is 1'),
        (dict(pipeline=[*PIPELINE[:3], dict(type='SaliencyMask'), PIPELINE[4]]), 'SaliencyMask may look at them'),
        (dict(pipeline=[*PIPELINE[:3], Mine(), PIPELINE[4]]), 'set reads_image = False in Mine'),
        (dict(pipeline=[*PIPELINE[:3], *PIPELINE[2:]]), 'takes one RandomFlip, and the pipeline has 2'),
    ],
    ids=str,
)
def test_settings_that_cannot_work(image_folder, options, words):
    """Are refused when the data set is built."""
    with pytest.raises(ValueError, match=words):
        _set(image_folder(1), **options)


def test_masks_of_ones_own_that_need_no_pixels(folder):
    batch = _batch(_set(folder, pipeline=[*PIPELINE[:3], Blind(16), PIPELINE[4]]))
    assert isinstance(batch['inputs'], EncodedImages)
    assert not batch['mask'].any()


def test_other_collate_functions_are_told(folder):
    """And a pipeline that changes after it was built."""
    dataset = _set(folder)
    with pytest.raises(ValueError, match='use collate_fn=dict'):
        default_collate(dataset.__getitems__([0, 1]))
    dataset.pipeline.transforms.insert(3, Mine(16))
    with pytest.raises(ValueError, match='Mine may look at them'):
        dataset.__getitems__([0])


def test_samples_that_differ_are_refused(folder):
    """As in batches of images: here the first file has a mask of its own."""

    class Odd(Blind):
        def transform(self, results):
            return results if 'turned 1' in results['img_path'] else super().transform(results)

    dataset = _set(folder, pipeline=[*PIPELINE[:3], Odd(16), PIPELINE[4]])
    with pytest.raises(ValueError, match='mask is drawn for some samples of one batch and not for others'):
        _batch(dataset)
