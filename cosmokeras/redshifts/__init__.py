"""Redshift distributions: terms of a preset and tables of files in, n(z) and its exact integrals out."""
