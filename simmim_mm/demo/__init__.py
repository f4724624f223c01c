"""Trying it all without downloads: a small set of real photographs, and a run that learns from it in minutes."""
