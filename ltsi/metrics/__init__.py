"""Ranking metrics, one per file."""
