"""Results in, pictures and text out; no number of a result depends on it."""
