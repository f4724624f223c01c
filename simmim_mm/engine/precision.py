"""Mixed precision on every device that has it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.device import get_device
from mmengine.logging import print_log
from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from simmim_mm.engine.deferred import defer_scalar
from simmim_mm.engine.guards.gradients import any_not_finite, gradients_of
from simmim_mm.engine.guards.step_guard import StepGuard
from simmim_mm.registry import OPTIM_WRAPPERS

PRECISIONS = {'fp32': None, 'bf16': torch.bfloat16, 'fp16': torch.float16}


def has_bf16(device_type: str) -> bool:
    """Whether a device computes in bf16 itself, rather than emulating it.

    Args:
        device_type: ``'cuda'``, ``'cpu'`` and so on.
    """
    if device_type == 'cuda':
        # NVIDIA's since Ampere; PyTorch says yes for older ones too, which emulate it.
        native = torch.version.hip is not None or torch.cuda.get_device_capability() >= (8, 0)
        return native and torch.cuda.is_bf16_supported()
    if device_type == 'cpu':
        # Private names: the public torch.cpu.get_capabilities is not in all versions that are supported.
        return any(
            getattr(torch.cpu, name, lambda: False)()
            for name in ('_is_avx512_bf16_supported', '_is_amx_tile_supported', '_is_arm_bf16_supported')
        )
    module = getattr(torch, device_type, None)
    return bool(getattr(module, 'is_bf16_supported', lambda: False)())


def choose_precision(precision: str, device_type: str) -> str:
    """Resolves ``'auto'`` and ``'amp'``, and refuses what a device cannot do.

    Args:
        precision: ``'auto'`` (bf16 where the device has it, otherwise fp32), ``'amp'`` (bf16 where the device has it,
            otherwise fp16), ``'bf16'``, ``'fp16'`` or ``'fp32'``.
        device_type: ``'cuda'``, ``'cpu'`` and so on.

    Returns:
        ``'bf16'``, ``'fp16'`` or ``'fp32'``.

    Raises:
        ValueError: If the name is unknown, or the device cannot do it.
    """
    if precision == 'auto':
        return 'bf16' if has_bf16(device_type) else 'fp32'
    if precision == 'amp':
        precision = 'bf16' if has_bf16(device_type) or device_type == 'cpu' else 'fp16'
    if not isinstance(precision, str) or precision not in PRECISIONS:
        raise ValueError(
            f'optim_wrapper.precision={precision!r} is unknown; use one of auto, amp, {", ".join(PRECISIONS)}'
        )
    if precision == 'fp16' and device_type == 'cpu':
        raise ValueError("optim_wrapper.precision='fp16' does not train on a CPU; use 'bf16', 'fp32' or 'auto'")
    return precision


@OPTIM_WRAPPERS.register_module()
class PrecisionOptimWrapper(OptimWrapper):
    """MMEngine's ``OptimWrapper`` with automatic mixed precision, on CPUs too.

    The host's ``AmpOptimWrapper`` refuses CPUs and scales losses in bf16 as well. Here, bf16 has no loss scaler (its
    range is that of fp32); fp16 has one, whose state is saved in checkpoints. The norm of the gradients stays on the
    device until it is logged, so that a step does not wait for it.

    Args:
        precision: See :func:`choose_precision`.
        loss_scale: Arguments of ``torch.amp.GradScaler``, for fp16.
        **kwargs: Arguments of ``OptimWrapper``: ``optimizer``, ``accumulative_counts``, ``clip_grad``.

    Attributes:
        precision: ``'bf16'``, ``'fp16'`` or ``'fp32'``, as chosen.
        guard: Leaves out steps whose numbers are not finite; :class:`~simmim_mm.engine.FiniteGuardHook` sets it.
    """

    guard: StepGuard | None = None

    def __init__(self, *args: Any, precision: str = 'auto', loss_scale: dict | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if loss_scale is not None and not isinstance(loss_scale, dict):
            raise ValueError(
                f'optim_wrapper.loss_scale={loss_scale!r} must be arguments of torch.amp.GradScaler, such as '
                'dict(init_scale=512.0); leave it out for the default'
            )
        self.device_type = get_device().split(':')[0]
        self.precision = choose_precision(precision, self.device_type)
        print_log(f'Precision: {self.precision} on {self.device_type}', logger='current')
        self.loss_scaler = torch.amp.GradScaler(
            self.device_type, enabled=self.precision == 'fp16', **(loss_scale or {})
        )

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Autocast around the forward pass."""
        dtype = PRECISIONS[self.precision]
        with super().optim_context(model), torch.autocast(self.device_type, dtype=dtype, enabled=dtype is not None):
            yield

    def backward(self, loss: Tensor, **kwargs: Any) -> None:
        """Backward pass of the scaled loss."""
        scaled = self.loss_scaler.scale(loss)
        if self.guard is not None:
            kwargs['gradient'] = self.guard.seed(loss).to(scaled.dtype)
        scaled.backward(**kwargs)
        self._inner_count += 1

    def step(self, **kwargs: Any) -> None:
        """Clips the true gradients and updates the parameters; fp16 leaves out a step whose gradients overflow."""
        found = self._before_step()
        norm = None
        if self.clip_grad_kwargs:
            self.loss_scaler.unscale_(self.optimizer)
            norm = self._clip_grad()
        if self.guard is None:
            self.loss_scaler.step(self.optimizer, **kwargs)
        else:
            if found is None:
                assert norm is not None
                found = ~torch.isfinite(norm)
            self.guard.step(found, self.loss_scaler, **kwargs)
        self.loss_scaler.update()

    def _before_step(self) -> Tensor | None:
        """Whether a gradient is not finite; None where nobody asks, or where the norm of all of them tells."""
        if self.guard is None:
            return None
        self.guard.settle()
        gradients = gradients_of(self.optimizer)
        # Clipping by value would make large numbers of infinities, so it comes later.
        by_norm = self.clip_grad_kwargs and self.grad_name == 'grad_norm' and gradients
        return None if by_norm else any_not_finite(gradients, self.guard.device)

    def _clip_grad(self) -> Tensor | None:
        """As the host's, without asking for the norm, which it returns."""
        parameters = [parameter for group in self.param_groups for parameter in group['params']]
        parameters = [parameter for parameter in parameters if parameter.grad is not None]
        norm = self.clip_func(parameters, **self.clip_grad_kwargs) if parameters else None
        if norm is not None:  # clip_grad_value_ has none
            defer_scalar(self.message_hub, f'train/{self.grad_name}', norm)
        return norm

    def state_dict(self) -> dict:
        """State of the optimiser, and of the loss scaler where there is one."""
        state = super().state_dict()
        if self.loss_scaler.is_enabled():
            state['loss_scaler'] = self.loss_scaler.state_dict()
        return state

    def load_state_dict(self, state_dict: dict) -> None:
        """Loads what :meth:`state_dict` returned, or the host's ``AmpOptimWrapper``."""
        state_dict = dict(state_dict)
        scaler_state = state_dict.pop('loss_scaler', None)
        if scaler_state and self.loss_scaler.is_enabled():
            self.loss_scaler.load_state_dict(scaler_state)
        super().load_state_dict(self._with_own_choices(state_dict))

    def _with_own_choices(self, state_dict: dict) -> dict:
        """The state with this run's implementation of the optimiser, not that of the run which saved it."""
        groups = [
            {**group, **{name: own[name] for name in ('fused', 'foreach') if name in own}}
            for group, own in zip(state_dict['param_groups'], self.param_groups, strict=False)
        ]
        if len(groups) != len(self.param_groups) or len(groups) != len(state_dict['param_groups']):
            return state_dict  # of another model, which the optimiser refuses
        return {**state_dict, 'param_groups': groups}
