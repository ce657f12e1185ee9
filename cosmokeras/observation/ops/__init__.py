"""The same observation in `keras.ops`: pure functions that run inside the compiled training step of every backend."""
