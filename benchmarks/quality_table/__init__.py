"""What `benchmarks/quality.py` measures, how a cell is measured and kept, and the page that shows it."""
