"""How interest fades: curves, fits and reports."""
