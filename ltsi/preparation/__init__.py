"""Audit, clean and encode: from an event table to a store."""
