"""What computes the preparation: one pipeline over narwhals, on polars, pandas, DuckDB or Spark."""
