"""Cleaning steps, one family a file; an entry of the config group `clean` names one.

A step is a function from event table to event table, written over narwhals: it gives the same events on every engine.
Engines keep no order of rows, so what needs a user's order sorts by `events.order_of`.
"""
