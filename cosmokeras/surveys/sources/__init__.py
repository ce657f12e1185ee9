"""One module for each source of real maps and mock skies; `load(cfg)` gives a `RealSky`."""
