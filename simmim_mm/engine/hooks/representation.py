"""Whether features become useful, while a model is trained."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

import torch
from mmengine.dist import is_main_process
from mmengine.runner import IterBasedTrainLoop, Runner
from torch import Tensor

from simmim_mm.datasets.class_labels import bank_and_queries, spread_evenly
from simmim_mm.datasets.wrappers import base_datasets
from simmim_mm.engine.hooks.periodic import PeriodicHook, unwrapped
from simmim_mm.evaluation.features import WholeImages, check_block, encode_images
from simmim_mm.evaluation.linear_probe import fit_linear_probe
from simmim_mm.evaluation.nearest_neighbours import knn_classify
from simmim_mm.evaluation.spread import feature_std, rankme
from simmim_mm.models import SimMIM
from simmim_mm.options import check_flag, check_text, check_whole, is_number
from simmim_mm.registry import HOOKS

# Below these, features are the same for all images but for rounding: an encoder with random weights is far above.
LOWEST_RANK = 1.01
LOWEST_STD = 1e-3
# Of fewer images, features may be alike because the images are.
FEWEST_IMAGES = 8


@HOOKS.register_module()
class RepresentationHook(PeriodicHook):
    """Takes features of unmasked images every few epochs, and measures what they are worth.

    Logs, beside the results of the validation:

    - ``val/rankme``: the effective rank of the features (:func:`~simmim_mm.evaluation.rankme`), at most the number of
      images and the width of the features;
    - ``val/feature_std``: their deviation over images (:func:`~simmim_mm.evaluation.feature_std`), 0 if they are all
      the same;
    - with ``labelled``, ``val/knn_top1``: accuracy of a weighted vote of nearest neighbours
      (:func:`~simmim_mm.evaluation.knn_classify`), in per cent; and ``val/probe_top1``: that of a linear classifier
      (:func:`~simmim_mm.evaluation.fit_linear_probe`).

    A feature is the mean over the cells of a map. Images are whole ones (central crops, no flip) of the size in
    training. Training goes on as if nothing had been measured: modes of the model are restored, and no global random
    state is drawn from. Images that cannot be read, or do not fit the settings, are left out, with a warning that
    counts and names them. With several processes each encodes a part of the images, and the first one measures.

    Args:
        interval: How often, in epochs or iterations; 0 for the end of training alone, when it is always done.
        by_epoch: Whether ``interval`` counts epochs.
        labelled: Images whose classes are known: a folder with a folder for each class, or the config of a host's data
            set, such as ``dict(type='mmpretrain.CIFAR10', ...)`` or ``dict(type='FewLabels', ...)``. None for the rank
            and the deviation alone, of images of the validation set, or without one of the training set.
        queries: Images to test on, likewise; None for about a fifth of ``labelled``, chosen by the names of the files.
        num_images: Most images to encode, of ``labelled`` and ``queries`` each, spread evenly over them. The rank can
            be compared between runs only if this is the same.
        block: Path of the part of the encoder to take features of, such as ``'layers.7'`` for the 8th block of a ViT or
            ``'stages.2'``; None for the last feature map.
        k: Number of neighbours.
        temperature: Of their votes.
        probe: Whether to fit a linear classifier.
        probe_c: Weight of its data against its regularisation, as ``C`` of scikit-learn's ``LogisticRegression``.
        batch_size: Images at once in one process.
        num_workers: Processes that load; None for as many as in training.
        prefix: Of the names that are logged; for a second hook, of another block.

    Raises:
        ValueError: If an argument is out of range; before training, if images, classes or block are not there, or no
            image can be used.
    """

    def __init__(
        self,
        interval: int = 1,
        by_epoch: bool = True,
        labelled: str | Mapping[str, Any] | None = None,
        queries: str | Mapping[str, Any] | None = None,
        num_images: int = 5000,
        block: str | None = None,
        k: int = 20,
        temperature: float = 0.07,
        probe: bool = True,
        probe_c: float = 1.0,
        batch_size: int = 64,
        num_workers: int | None = None,
        prefix: str = 'val',
    ) -> None:
        super().__init__(interval, by_epoch)
        owner = type(self).__name__
        for name, source in (('labelled', labelled), ('queries', queries)):
            if source is not None and not (isinstance(source, str | Mapping) and source):
                raise ValueError(f'{name}={source!r} of {owner} must be a folder or the config of a data set, or None')
        if queries is not None and labelled is None:
            raise ValueError(f'queries={queries!r} of {owner} are to be classified, and labelled has no images; set it')
        for name, value in (('temperature', temperature), ('probe_c', probe_c)):
            if not is_number(value) or value <= 0:
                raise ValueError(f'{name}={value!r} of {owner} must be a number above 0')
        if not isinstance(prefix, str) or not prefix:
            raise ValueError(f"prefix={prefix!r} of {owner} must be a word, such as 'val'")
        self.labelled, self.queries = labelled, queries
        self.num_images = check_whole(num_images, 'num_images', owner, smallest=2)
        self.block = check_text(block, 'block', owner)
        self.k = check_whole(k, 'k', owner)
        self.temperature, self.probe_c = float(temperature), float(probe_c)
        self.probe = check_flag(probe, 'probe', owner)
        self.batch_size = check_whole(batch_size, 'batch_size', owner)
        self.num_workers = None if num_workers is None else check_whole(num_workers, 'num_workers', owner, smallest=0)
        self.prefix = prefix
        self._images: list[WholeImages] = []
        self._labels: list[Tensor] = []
        self._left_out: dict[int, list[int]] = {}
        self._warned = False

    def before_train(self, runner: Runner) -> None:
        """Finds images and classes, and tries the encoder, so that what is wrong is known at once."""
        super().before_train(runner)
        model = unwrapped(runner)
        if not isinstance(model, SimMIM):
            raise ValueError(
                f'RepresentationHook looks at encoders that SimMIM pre-trains, not at {type(model).__name__}; delete '
                'it from custom_hooks'
            )
        if self.num_workers is None:
            self.num_workers = runner.train_dataloader.num_workers
        training = next(base_datasets(runner.train_dataloader.dataset))
        transforms = training.pipeline.transforms
        if self.labelled is None:
            loader = runner.train_dataloader if runner.val_loop is None else runner.val_loop.dataloader
            dataset = next(base_datasets(loader.dataset))
            rows = spread_evenly(torch.arange(len(dataset)).numpy(), self.num_images)
            self._images = [WholeImages(dataset.get_data_info, rows.tolist(), transforms)]
        else:
            parts = bank_and_queries(self.labelled, self.queries, self.num_images)
            self._images = [WholeImages(part.sample_of, part.positions.tolist(), transforms) for part in parts]
            self._labels = [torch.from_numpy(part.labels) for part in parts]
            known, asked = self._labels
            runner.logger.info(
                f'Classes of features are learnt from {len(known)} images of {len(known.unique())} classes and tried '
                f'on {len(asked)} others'
            )
        if len(self._images[0]) < 2:
            raise ValueError(
                'RepresentationHook compares the features of several images, and there is one; name images with '
                'labelled, hold more out for validation, or delete the hook from custom_hooks'
            )
        for images in self._images:
            images.check()
        check_block(model, self.block)

    def act(self, runner: Runner, num_iters: int) -> None:
        """Measures."""
        begin = time.perf_counter()
        model = unwrapped(runner)
        assert self.num_workers is not None
        encoded = [
            encode_images(model, images, self.batch_size, self.num_workers, self.block) for images in self._images
        ]
        if not is_main_process():
            return
        for images, (_, kept) in zip(self._images, encoded, strict=True):
            self._tell_left_out(runner, images, kept)
        features = [each for each, _ in encoded]
        labels = [each[kept.cpu()] for each, (_, kept) in zip(self._labels, encoded, strict=False)]
        values = {f'{self.prefix}/{name}': value for name, value in self._measure(runner, features, labels).items()}
        # As the host counts validations.
        counts_iterations = isinstance(runner.train_loop, IterBasedTrainLoop)
        if not values:
            return
        runner.visualizer.add_scalars(
            values, step=num_iters if counts_iterations else num_iters // len(runner.train_dataloader)
        )
        shown = ', '.join(f'{name}: {value:.4g}' for name, value in values.items())
        seconds = time.perf_counter() - begin
        runner.logger.info(f'Features of {sum(map(len, features))} images: {shown} ({seconds:.1f} s)')

    def _tell_left_out(self, runner: Runner, images: WholeImages, kept: Tensor) -> None:
        """Warns of images that are not used, once, and again when there are others."""
        missing = sorted(set(range(len(images))).difference(kept.tolist()))
        if missing and missing != self._left_out.get(id(images)):
            runner.logger.warning(images.why_left_out(missing))
        self._left_out[id(images)] = missing

    def _measure(self, runner: Runner, features: list[Tensor], labels: list[Tensor]) -> dict[str, float]:
        if not all(each.isfinite().all() for each in features):
            runner.logger.warning(
                'Features are not measured: they are NaN or infinite, and the model is broken; look at the loss, and '
                'lower optim_wrapper.optimizer.lr or use --precision bf16'
            )
            return {'rankme': math.nan, 'feature_std': math.nan}
        unused = [name for name, each in zip(self._names(), features, strict=True) if not len(each)]
        if unused:
            runner.logger.warning(
                f'Features are not measured this time: none of the images of {" and ".join(unused)} can be used any '
                'more, though some could when training began. The model is not the reason; look whether the files are '
                'still there'
            )
            return {}
        values = {'rankme': rankme(features[0]), 'feature_std': feature_std(features[0])}
        if len(features[0]) >= FEWEST_IMAGES:
            self._warn_of_collapse(runner, **values)
        if labels:
            (bank, queries), (known, asked) = features, [each.to(features[0].device) for each in labels]
            found = knn_classify(bank, known, queries, self.k, self.temperature)
            values['knn_top1'] = _accuracy(found, asked)
            if self.probe:
                probe = fit_linear_probe(bank, known, self.probe_c)
                if not probe.converged:
                    runner.logger.warning(
                        'The linear probe did not come to its optimum, so its accuracy is not that of the best one; '
                        'lower probe_c of RepresentationHook'
                    )
                values['probe_top1'] = _accuracy(probe.classify(queries), asked)
        return values

    def _names(self) -> list[str]:
        """What the images of each part were given as."""
        if self.labelled is None:
            return ['the data set']
        return ['labelled', 'labelled (those to test on)' if self.queries is None else 'queries']

    def _warn_of_collapse(self, runner: Runner, rankme: float, feature_std: float) -> None:
        collapsed = rankme < LOWEST_RANK or feature_std < LOWEST_STD
        if collapsed and not self._warned:
            runner.logger.warning(
                f'The features have collapsed: they are (almost) the same for all images (effective rank {rankme:.3f}, '
                f'deviation {feature_std:.2g} where evenly spread ones have 1). Look at the reconstructions and at '
                'val/hidden_l1 beside val/mean_colour_l1; a lower learning rate or a longer warm-up helps most often'
            )
        self._warned = collapsed


def _accuracy(found: Tensor, labels: Tensor) -> float:
    """In per cent."""
    return 100 * (found == labels).double().mean().item()
