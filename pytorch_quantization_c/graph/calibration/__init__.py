"""Ranges of quantisers, from data."""
