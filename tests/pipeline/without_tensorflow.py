"""All stages but the pictures on tiny numbers: run as a script by `test_without_tensorflow`, with params.yaml there.

python without_tensorflow.py: it must end without TensorFlow having been loaded, installed or not.
"""

from __future__ import annotations

import sys
from argparse import Namespace


def main() -> None:
    """In the folder that it is started in."""
    from stages import evaluate, fetch_real, generate, infer, train

    generate.main(Namespace(params="params.yaml", workers=1, part=""))
    for stage in (fetch_real, train, evaluate, infer):
        stage.main(Namespace(params="params.yaml", work_only=False, only=None))
        loaded = sorted(name for name in sys.modules if name.split(".")[0] in ("tensorflow", "tensorboard"))
        assert not loaded, f"{stage.__name__}: {loaded[:5]}"


if __name__ == "__main__":
    main()
