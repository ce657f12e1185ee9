"""HEALPix maps and catalogues in, flat patches with footprints and windows out: what simulated and real maps share."""
