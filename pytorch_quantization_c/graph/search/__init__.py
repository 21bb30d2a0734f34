"""Searches that meet a budget of accuracy, size or time."""
