"""Distributions over the next item, given a history and a now."""
