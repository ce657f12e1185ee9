"""Slow checks, one module each: `check()` prints figures beside their bars and returns them, and whether all passed."""
