"""A trained estimator and held-out maps in, its judgement out: exact limits, baselines, coverage, gains."""
