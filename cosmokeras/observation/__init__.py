"""Noise-free maps in, maps as a survey shows them out: shape noise, mask, mass mapping, smoothing, scaling."""
