"""Training: devices, optimiser, the loop and its resumable state."""
