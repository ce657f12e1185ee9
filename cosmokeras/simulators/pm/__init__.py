"""Matter by particle-mesh N-body simulations: periodic boxes, their slabs, and light cones through them.

`light_cone` is the simulator; `growth`, `forces` and `steps` move the particles of a box, `planes` projects them,
`transfer` and `calibration` bring their power to that of theory, `assembly` makes convergence of them.
"""
