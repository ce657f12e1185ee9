"""Slow checks, one module each: `check()` prints figures with their requirements and returns both and the verdict."""
