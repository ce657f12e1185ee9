"""Suites of simulations that people have. In: files of maps and a table of parameters. Out: a `Suite` to train on.

`table` reads tables, `columns` makes parameters of them, `arrays` opens maps in files, `layout` says which axis is
which, `sphere` cuts maps of the sphere, `groups` divides simulations, `checks` looks at the maps, `suite` is all of it
together, and `opening` what params.yaml names of it. Units and pixels are in `observation.units`,
`observation.suite_mask` and `sky.resampling`.
"""
