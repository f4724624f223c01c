"""Faster steps."""
