#!/usr/bin/env bash
# sbi: the loss that decides when training stops is that of whole batches of the validation simulations, others each epoch.
#
# Seen with sbi 0.27.0 (torch 2.15.0, Python 3.11). Input: 3,500 simulations of three numbers, NPE with its defaults (a tenth for
# validation, batches of 200), one epoch after another.
#
#   simulations for validation          350
#   looked at in an epoch               200
#   looked at in both of two epochs     118, as chance has it: 200 * 200 / 350 = 114
#   looked at with 399 for validation   200;  with 200 or fewer: all
#
# The validation loader draws its order anew in every epoch and drops the last, incomplete batch. So up to half of the validation
# set is unused, and epochs are compared on different simulations: their losses differ by the scatter of a subset even if the network
# does not change, and early stopping (20 epochs without a better one) takes the luckiest subset for the best network. A
# training_batch_size that divides the number of validation simulations, or is larger, uses all: e.g. 50 with 3,500 simulations.
#
# Exit 0: seen again. Exit 1: the behaviour has changed. Needs bash, Python 3.11 to 3.13 with venv (PYTHON=... picks it) and a
# package index; three minutes, most of it the download.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check sbi==0.27.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import logging
import sys
import warnings

import sbi
import torch
from sbi.inference import NPE
from sbi.neural_nets import posterior_nn
from sbi.utils import BoxUniform

warnings.filterwarnings("ignore")
logging.disable()
print("sbi", sbi.__version__, "torch", torch.__version__)


class Noting(torch.nn.Module):
    """An embedding that notes which simulations it sees without training."""

    def __init__(self) -> None:
        super().__init__()
        self.epochs, self.same = [], torch.nn.Linear(3, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training:
            self.epochs[-1].update(x[:, 0].tolist())
        elif not self.epochs or self.epochs[-1]:
            self.epochs.append(set())
        return self.same(x / 4000)


def looked_at(count: int, **options: int) -> tuple[int, int, int]:
    """Simulations for validation, seen in an epoch, and seen in both of two epochs."""
    torch.manual_seed(0)
    theta, seen = torch.rand(count, 1), Noting()
    x = torch.cat([torch.arange(count)[:, None] + 0.0, torch.randn(count, 2)], dim=1)
    build = posterior_nn("maf", embedding_net=seen, z_score_x="none")
    inference = NPE(BoxUniform(torch.zeros(1), torch.ones(1)), build, show_progress_bars=False)
    inference.append_simulations(theta, x).train(max_num_epochs=2, **options)
    first, second = [one for one in seen.epochs if one][:2]
    return len(inference.val_indices), len(first), len(first & second)


default, nearly, few, divided = looked_at(3500), looked_at(3990), looked_at(2000), looked_at(3500, training_batch_size=50)
for name, one in {"3,500": default, "3,990": nearly, "2,000": few, "3,500, batches of 50": divided}.items():
    print(f"{name:22} for validation {one[0]}, seen in an epoch {one[1]}, in both of two epochs {one[2]}")
again = default[:2] == (350, 200) and 90 < default[2] < 140 and nearly[:2] == (399, 200)
again &= few == (200, 200, 200) and divided == (350, 350, 350)
print("seen again" if again else "CHANGED")
sys.exit(not again)
PYTHON
