"""Faster and smaller training steps of a built model: same parameters, same keys, model code unaware."""

from simmim_mm.acceleration.accelerate import accelerate, check_acceleration, choose_levers
from simmim_mm.acceleration.levers import LEVERS, PRESETS, Lever

__all__ = ['LEVERS', 'PRESETS', 'Lever', 'accelerate', 'check_acceleration', 'choose_levers']
