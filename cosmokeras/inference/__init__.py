"""From a trained network to an answer one can trust: posteriors, exact limits, baselines, calibration, surprise."""
