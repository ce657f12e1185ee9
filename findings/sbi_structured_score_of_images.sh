#!/usr/bin/env bash
# sbi: z_score_x="structured", meant for images, divides by the scatter between channels, not by that of the pixels.
#
# Seen with sbi 0.27.0 (torch 2.15.0 or later, Python 3.11). The documentation says of "structured": mean and standard deviation are
# computed over the entire batch, and that it should be used when a sample is an image. Input: 200 images of 16 x 16 pixels whose pixels
# have mean 5 and standard deviation 3.
#
#   one channel                                        NPE.train ends in an AssertionError, "mean or std ... must not contain NaNs"
#   four channels that share their pattern, and differ
#   by noise of 0.03 (as redshift bins without noise)  deviation 0.03: what the network sees has rms 108
#   the same images as one row of pixels (n, 256)      deviation 3: rms 1
#
# The code takes the deviation along the second axis of each sample and averages it. That is time in a time series, but the
# channel in an image (n, channel, y, x). One channel ends in an error that speaks of missing trials; several give no message, and a scale
# that depends on how alike the channels are. Maps of a survey's bins are alike, the more so the less noise they have.
# For images: standardise them oneself, with z_score_x="none".
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
from sbi.neural_nets.embedding_nets import CNNEmbedding
from sbi.utils import BoxUniform

warnings.filterwarnings("ignore")
logging.disable()
print("sbi", sbi.__version__, "torch", torch.__version__)
torch.manual_seed(0)
pattern = 5 + 3 * torch.randn(200, 1, 16, 16)
theta = torch.rand(200, 1)
box = BoxUniform(torch.zeros(1), torch.ones(1))


class Seen(torch.nn.Module):
    """An embedding that notes the rms of what it is given."""

    rms = 0.0

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.cnn = CNNEmbedding((16, 16), in_channels=channels, output_dim=8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        Seen.rms = float((x - x.mean()).square().mean().sqrt())
        return self.cnn(x)


def train(maps: torch.Tensor, embedding: torch.nn.Module) -> str:
    """One epoch with the structured score: the error, or the rms that the embedding was given."""
    inference = NPE(box, posterior_nn("nsf", embedding_net=embedding, z_score_x="structured"), show_progress_bars=False)
    try:
        inference.append_simulations(theta, maps).train(max_num_epochs=1)
    except AssertionError as error:
        return "AssertionError: " + " ".join(str(error).split())[:80]
    return f"rms {Seen.rms:.3g}"


class Row(Seen):
    """The same for a row of pixels."""

    def __init__(self) -> None:
        torch.nn.Module.__init__(self)
        self.cnn = torch.nn.Linear(256, 8)


alike = pattern + 0.03 * torch.randn(200, 4, 16, 16)
found = {
    "one channel": train(pattern, Seen(1)),
    "four alike channels": train(alike, Seen(4)),
    "row of pixels": train(pattern.flatten(1), Row()),
}
for name, what in found.items():
    print(f"{name:20} {what}")
again = "NaN" in found["one channel"]
again &= 50 < float(found["four alike channels"].removeprefix("rms ")) < 200
again &= 0.9 < float(found["row of pixels"].removeprefix("rms ")) < 1.1
print("seen again" if again else "CHANGED")
sys.exit(not again)
PYTHON
