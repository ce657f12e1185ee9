"""One page about one run: what was done, how good it is, what the sky says, and with what care.

    python -m study.report

reads `metrics/`, `plots/`, `params.yaml`, `dvc.lock` and, where they are there, `outputs/` and the experiments of DVC,
and writes a single HTML file that needs nothing else: pictures are inside it, and it loads nothing from anywhere.
"""
