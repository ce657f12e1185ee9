"""Maps in, trained weights out: devices, optimiser, the loop and its resumable state."""
