"""Measurements of training steps, memory and loaders, beside those of others: what ``tools/benchmark.py`` runs."""
