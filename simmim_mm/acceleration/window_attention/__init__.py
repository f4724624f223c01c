"""Attention in shifted windows in one kernel: an operator of PyTorch, and a lever for Swin and Swin V2."""

from simmim_mm.acceleration.window_attention.cases import Case, swin_cases
from simmim_mm.acceleration.window_attention.op import window_attention
from simmim_mm.acceleration.window_attention.plans import device_refusal, is_interpreted, refusal

__all__ = ['Case', 'device_refusal', 'is_interpreted', 'refusal', 'swin_cases', 'window_attention']
