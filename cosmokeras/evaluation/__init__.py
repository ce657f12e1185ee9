"""A trained estimator and held-out maps in, metrics out: exact limits, baselines, coverage, SBC, TARP, gains."""
