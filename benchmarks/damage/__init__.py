"""Damage on purpose: every file that the pipeline reads, found by watching it read, spoiled in many ways."""
