"""Weights from here into other code bases, and from there to here."""
