"""Full ranking, intervals and paired tests."""
