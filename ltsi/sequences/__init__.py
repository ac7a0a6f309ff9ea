"""From a store to a split, and from a split to length-bucketed batches."""
