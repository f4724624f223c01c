"""Ways to take one and the same training step: ours, the plain one, and those of others in ``peers``."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from torch import Tensor, nn

from simmim_mm.acceleration import accelerate, check_acceleration
from simmim_mm.benchmark.plan import Batch, Plan, make_batch, read_config
from simmim_mm.masking import regrid
from simmim_mm.models.simmim import SimMIM
from simmim_mm.registry import MODELS

# A rate with which nothing runs away while the same batch comes again and again; steps cost the same at any.
LEARNING_RATE = 1e-6
# A power of two, so that fp32 gradients are the same, and those of fp16 do not underflow.
SCALE = 1024.0


class Setup:
    """What all candidates of a plan share: config, weights and batch.

    Args:
        plan: The settings.

    Attributes:
        plan: The settings.
        cfg: The config, ours.
        reference: Our model on the CPU, the plain way; its weights are those of all candidates. They are moved away
            from the initial ones, of which many are zero, so that every gradient says something.
        batch: Images and masks, on the CPU.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.cfg: Config = read_config(plan)
        init_default_scope(self.cfg.get('default_scope', 'simmim_mm'))
        torch.manual_seed(plan.seed)
        self.reference: SimMIM = MODELS.build(copy.deepcopy(self.cfg.model))
        self.reference.init_weights()
        with torch.no_grad():
            for parameter in self.reference.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=0.02)
        if not plan.drop_path:
            drop_nothing(self.reference)
        self.batch: Batch = make_batch(plan, self.reference.data_preprocessor.channels, self.reference.image_hw)

    @property
    def family(self) -> str:
        """Class of the encoder."""
        return type(self.reference.backbone).__name__


class Candidate(ABC):
    """One way to take a step.

    Args:
        setup: What all share.

    Attributes:
        name: Of the row in tables.
        about: Its settings, in a line.
        model: On the device, in training mode.
        optim_wrapper: MMEngine's, around the optimiser.
        precision: ``'fp32'``, ``'bf16'`` or ``'fp16'``.
    """

    name: str
    about: str
    model: nn.Module
    optim_wrapper: Any
    precision: str

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.device = torch.device(setup.plan.device)

    @abstractmethod
    def loss(self) -> Tensor:
        """The loss of the batch, a scalar with a graph."""

    def step(self) -> None:
        """One training step: forward, backward, optimiser."""
        with self.optim_wrapper.optim_context(self.model):
            loss = self.loss()
        self.optim_wrapper.update_params(loss)

    def our_names(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Values of the model's parameters by the names that ours have."""
        return dict(values)

    def evaluate(self) -> tuple[float, dict[str, Tensor]]:
        """Loss and gradients of the batch, without drop path. Weights stay.

        Returns:
            The loss, and gradients by our names, fp32 on the CPU.
        """
        with dropping_nothing(self.model):
            with self.optim_wrapper.optim_context(self.model):
                loss = self.loss()
            (loss * SCALE).backward()
        gradients = {
            name: (parameter.grad / SCALE).float().cpu()
            for name, parameter in self.model.named_parameters()
            if parameter.grad is not None
        }
        self.model.zero_grad(set_to_none=True)
        return loss.item(), self.our_names(gradients)


class OwnCandidate(Candidate):
    """Ours, with the config's optimiser, precision and acceleration, or those of the plan."""

    def __init__(self, setup: Setup, name: str = 'ours', acceleration: Mapping[str, Any] | None = None) -> None:
        super().__init__(setup)
        self.name = name
        settings = check_acceleration(setup.cfg.get('acceleration') if acceleration is None else acceleration)
        self.model = self.build()
        self.optim_wrapper, self.precision = own_optimizer(setup, self.model)
        self.reports = accelerate(self.model, **settings)
        values = ', '.join(f'{key}={value}' for key, value in settings.items())
        self.about = f'{self.precision}, acceleration {values}'

    def build(self) -> nn.Module:
        """The model before it is accelerated."""
        return _trainable(copy.deepcopy(self.setup.reference), self.device)

    def _data(self) -> dict[str, Any]:
        return {'inputs': self.setup.batch.images, 'mask': self.setup.batch.mask}

    def loss(self) -> Tensor:
        """See the base class."""
        model: Any = self.model
        losses = model(**model.data_preprocessor(self._data(), True), mode='loss')
        return sum(value for key, value in losses.items() if 'loss' in key)

    def step(self) -> None:
        """MMEngine's training step, from uint8 images on the host."""
        self.model.train_step(self._data(), self.optim_wrapper)  # type: ignore[operator]


class PlainSimMIM(SimMIM):
    """The same network as anybody would write it: the whole image is predicted, and the loss is multiplied by a mask.

    It has no constructor of its own: a built SimMIM is given this class.
    """

    def loss(self, inputs: Tensor, mask: Tensor, other_mask: Tensor | None = None) -> dict[str, Tensor]:
        """Equations of SimMIM's section 3 on whole maps; see the base class."""
        features, hidden = self.masker.encode(self.backbone, inputs, mask)
        prediction = self.neck(features, hidden).float()
        target = self.head.target(inputs)
        distance = self.head.loss_fn(prediction, target)
        weight = regrid(hidden, (distance.shape[-2], distance.shape[-1]))[:, None].to(distance.dtype)
        return {'loss': (distance * weight).sum() / (weight.sum() + 1e-5) / distance.shape[1]}


class PlainCandidate(OwnCandidate):
    """The same network run the plain way: the host's backbone, dense decoder and loss, no acceleration."""

    def __init__(self, setup: Setup) -> None:
        head, companion = setup.reference.head, setup.reference.companion
        if companion is not None or head.area != 'hidden' or head.channel_weights is not None:
            raise ValueError(
                '--against plain measures a reconstruction of what is hidden; use a config without companion, '
                "area='all' and channel_weights"
            )
        super().__init__(setup, 'plain', {'preset': 'off'})
        self.about = f"{self.precision}, the host's backbone, dense decoder and loss"

    def build(self) -> nn.Module:
        """See the base class."""
        model = super().build()
        model.__class__ = PlainSimMIM
        return model


def own_optimizer(setup: Setup, model: nn.Module) -> tuple[Any, str]:
    """The optimiser of our config around a model, and its precision."""
    cfg = copy.deepcopy(setup.cfg.optim_wrapper)
    cfg.optimizer.lr = LEARNING_RATE
    if setup.plan.precision is not None:
        cfg.precision = setup.plan.precision
    wrapper = build_optim_wrapper(model, cfg)
    return wrapper, wrapper.precision


def to_training(model: nn.Module, setup: Setup) -> nn.Module:
    """Brings a peer's model to the device, in training mode, with the plan's drop path."""
    if not setup.plan.drop_path:
        drop_nothing(model)
    return _trainable(model, torch.device(setup.plan.device))


def _trainable(model: nn.Module, device: torch.device) -> nn.Module:
    model.to(device)
    model.train()  # mmpretrain's Swin returns None here, so no chain
    return model


def drop_nothing(model: Any) -> None:
    """Switches drop path off for good, whoever's it is."""
    for module in model.modules():
        if isinstance(getattr(module, 'drop_prob', None), float):
            module.drop_prob = 0.0


@contextmanager
def dropping_nothing(model: nn.Module) -> Iterator[None]:
    """Switches drop path off for a while."""
    rates = {module: module.drop_prob for module in model.modules() if hasattr(module, 'drop_prob')}
    drop_nothing(model)
    try:
        yield
    finally:
        for module, rate in rates.items():
            module.drop_prob = rate
