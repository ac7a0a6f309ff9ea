"""What a user should be shown now: recommendations, and the parts of their scores."""
