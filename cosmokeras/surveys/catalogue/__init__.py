"""Shear catalogues: from files of galaxies to calibrated shear, weight, count and noise in pixels.

`tables` reads files in pieces, `galaxies` makes of each piece what the preset says its columns mean, `moments` adds up
what each bin as a whole needs and `calibration` what follows from it, `pixel_sums` adds up pixels of the sphere and
`healpix_shear` runs over a catalogue with all of them, `flat_field` is the same for a field that fits onto one flat
grid. `density` has number densities and shape noise, `depth` the noise of pixels as masks take it, `frame` what E and B
modes say of the signs. `preset` is a command that writes a survey preset for a catalogue.
"""
