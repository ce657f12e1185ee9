"""A trained network and maps in, posteriors out: calibration, combination, misspecification test."""
