# %% [markdown]
"""Machine learning from scratch: derivatives, a convolution, training, and the exact posterior.

    python -m study.ml_from_scratch      # under a minute; or cell by cell in an editor that knows `# %%`

A network is a function with many adjustable numbers, and training is going downhill in them. Here both are written in
NumPy, checked against TensorFlow and Keras, and used on a problem of cosmology whose exact answer is known: Omega_m
from one Gaussian map. At the end the error is compared with that of the exact posterior, since a loss alone does not
say how good it could be.
The first part, derivatives and the convolution, is in study/scratch_engine.py: begin there.
"""

# ruff: noqa: E402 - options are read before the slow imports
from __future__ import annotations

import math
import os
import runpy
from collections.abc import Sequence
from pathlib import Path

from cosmokeras.common import cli


def main() -> None:
    """Run all cells; for `python -m`, where errors that people can mend are one line."""
    cli.Parser("study.ml_from_scratch", __doc__).parse_args()
    runpy.run_path(__file__)


if __name__ == "__main__" and __spec__ is not None:  # an editor that runs cell by cell has no __spec__
    cli.entry(main)

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import numpy as np
import tensorflow as tf

import cosmokeras as ck
from study import scratch_picture
from study.scratch_engine import Node, add, backward, convolve, join, log_power, matmul, mean_square, tanh
from study.setting import config

Array = np.ndarray
PICTURE = Path("plots/study/ml_from_scratch.png")
rng = np.random.default_rng(1)

# %% [markdown]
# Is it right? Keras' own convolution must give the same maps, and TensorFlow's tape the same derivatives, in a network
# with two convolutions behind each other, so that gradients pass through one on their way to the other.


# %%
def wrapped(x: Array, half: int) -> Array:
    """The same maps with `half` pixels of the other side around them, for a convolution that knows no periods."""
    x = keras.ops.concatenate([x[:, -half:], x, x[:, :half]], axis=1)
    return keras.ops.concatenate([x[:, :, -half:], x, x[:, :, :half]], axis=2)


x, truth = rng.standard_normal((3, 8, 8, 2)), rng.standard_normal((3, 1))
given = [0.3 * rng.standard_normal(shape) for shape in ((3, 3, 2, 4), (5, 5, 4, 3), (3, 1), (1,))]


def by_hand(nodes: Sequence[Node]) -> Node:
    """Loss of two convolutions and a layer, in our own engine."""
    deep = convolve(tanh(convolve(x, nodes[0])), nodes[1])
    return mean_square(tanh(add(matmul(log_power(deep), nodes[2]), nodes[3])), truth)


def by_tensorflow(values: Sequence[tf.Tensor]) -> tf.Tensor:
    """The same in TensorFlow and Keras."""
    deep = tf.tanh(keras.ops.conv(wrapped(tf.constant(x), 1), values[0], padding="valid"))
    deep = keras.ops.conv(wrapped(deep, 2), values[1], padding="valid")
    features = tf.math.log(tf.reduce_mean(deep**2, axis=(1, 2)) + 1e-6)
    return tf.reduce_mean((tf.tanh(features @ values[2] + values[3]) - truth) ** 2)


ours = convolve(x, Node(given[0])).value
theirs = keras.ops.convert_to_numpy(keras.ops.conv(wrapped(tf.constant(x), 1), given[0], padding="valid"))
worst_convolution = np.abs(ours - theirs).max()

nodes = [Node(value) for value in given]
backward(by_hand(nodes))
variables = [tf.Variable(value) for value in given]
with tf.GradientTape() as tape:
    loss = by_tensorflow(variables)
worst_gradient = max(
    np.abs(node.grad - gradient.numpy()).max()
    for node, gradient in zip(nodes, tape.gradient(loss, variables), strict=True)
)
print(f"convolution differs from Keras by at most {worst_convolution:.1e}, gradients by {worst_gradient:.1e}")

# %% [markdown]
# ## Maps, and what there is to learn
#
# A Gaussian field is its power spectrum and nothing else. Here the spectrum has the transfer function of Bardeen et
# al. (1986, ApJ 304, 15, eq. G3), whose bend sits at a scale that goes as 1 / (Omega_m h). Each map is divided by its
# own rms, so that only the shape of the spectrum can tell Omega_m. One map holds few waves of each length, their power
# scatters, and no method can undo that: it is why there is a limit.

# %%
cfg = config({
    "data.kind": "grf", "data.size": 32, "grf.box_mpc_h": 256.0, "model.spectrum_bins": 6, "evaluate.spectrum_bins": 6,
})  # fmt: skip
low, high = cfg.bounds[0]
STEPS, BATCH, RATE, DECAY = 800, 64, 0.02, 1e-4


def draw(count: int, seed: int) -> tuple[Array, Array]:
    """Observed maps (count, 32, 32, 1), and Omega_m of each as a number u from -1 to 1 (count, 1)."""
    theta = ck.sample_prior(cfg, n=count, seed=seed)
    maps = ck.observe(cfg, ck.simulate(cfg, theta, seed=seed), seed=seed)
    return maps, ((2 * theta - low - high) / (high - low)).astype(np.float32)


maps, u = draw(6_000, seed=1)
test_maps, test_u = draw(2_000, seed=2)


def halved(some: Array) -> Array:
    """Means of 2 x 2 pixels."""
    n, h, w, c = some.shape
    return some.reshape(n, h // 2, 2, w // 2, 2, c).mean(axis=(2, 4))


# %% [markdown]
# ## A network of 771 numbers
#
# Six kernels of 5 x 5 pixels look at the map, six more at the map of half the resolution, six at a quarter: small
# kernels see long waves there. Of each filtered map the log power is taken: 18 features, put once into units of their
# scatter. A layer of 16 bent sums and a last plain sum make the answer u of them.

# %%
SCALES, FILTERS, SIDE, UNITS = 3, 6, 5, 16
shapes = [(SIDE, SIDE, 1, FILTERS)] * SCALES + [(SCALES * FILTERS, UNITS), (UNITS,), (UNITS, 1), (1,)]
start = [(rng.standard_normal(s) / np.sqrt(np.prod(s[:-1]))).astype(np.float32) for s in shapes]


def features(some: Array, kernels: Sequence[Node]) -> Node:
    """Log power of each filter at each scale, (n, SCALES * FILTERS)."""
    parts = []
    for kernel in kernels:
        parts.append(log_power(convolve(some, kernel)))
        some = halved(some)
    return join(parts)


first = features(maps[:2000], [Node(value) for value in start[:SCALES]]).value
centre, spread = first.mean(axis=0), first.std(axis=0)


def network(some: Array, weights: Sequence[Node]) -> Node:
    """Answers u (n, 1)."""
    seen = add(features(some, weights[:SCALES]), Node(-centre))
    scaled = matmul(seen, Node(np.diag(1 / spread)))
    hidden = tanh(add(matmul(scaled, weights[SCALES]), weights[SCALES + 1]))
    return add(matmul(hidden, weights[SCALES + 2]), weights[SCALES + 3])


# %% [markdown]
# ## Downhill
#
# The gradient of a few maps is a noisy pointer downhill. Adam keeps a running mean of gradients and of their squares
# and steps by the first over the root of the second, so that every weight moves at a pace of its own; AdamW lets
# weights decay a little besides, apart from the gradient (Kingma & Ba 2015, arXiv:1412.6980; Loshchilov & Hutter 2019,
# arXiv:1711.05101). That decay is not the same as a penalty on squares of weights in the loss, which Adam would
# rescale. The step falls to zero along a cosine: early on noise helps to get about, late it only keeps from arriving.

# %%
order = np.concatenate([rng.permutation(len(maps)) for _ in range(-(-STEPS * BATCH // len(maps)))])[: STEPS * BATCH]
batches = order.reshape(STEPS, BATCH)


def train_by_hand() -> tuple[list[Node], Array]:
    """Weights after AdamW over all batches, and the loss of each."""
    weights = [Node(value.copy()) for value in start]
    m, v = [np.zeros_like(value) for value in start], [np.zeros_like(value) for value in start]
    losses = np.empty(STEPS)
    for step, batch in enumerate(batches):
        loss = mean_square(network(maps[batch], weights), u[batch])
        backward(loss)
        losses[step] = loss.value
        rate = RATE * 0.5 * (1 + math.cos(math.pi * step / STEPS))
        for i, weight in enumerate(weights):
            m[i] = 0.9 * m[i] + 0.1 * weight.grad
            v[i] = 0.999 * v[i] + 0.001 * weight.grad**2
            fair = math.sqrt(1 - 0.999 ** (step + 1)) / (1 - 0.9 ** (step + 1))  # both start at zero: undo that
            weight.value = weight.value * (1 - rate * DECAY) - rate * fair * m[i] / (np.sqrt(v[i]) + 1e-7)
    return weights, losses


weights, losses = train_by_hand()
print(f"by hand: loss {losses[:50].mean():.3f} at first, {losses[-200:].mean():.3f} at last")

# %% [markdown]
# ## The same in Keras
#
# Three lines say what took three pages, and it runs on a GPU. Begun with the same weights and shown the same batches,
# it must go the same way; only round-off, which training magnifies, lets the two drift apart in the end.


# %%
def keras_network() -> keras.Model:
    """The same network, with the same first weights."""
    inputs = some = keras.Input(maps.shape[1:])
    parts = []
    for _ in range(SCALES):
        seen = keras.layers.Conv2D(FILTERS, SIDE, use_bias=False)(wrapped(some, SIDE // 2))
        parts.append(keras.ops.log(keras.ops.mean(keras.ops.square(seen), axis=(1, 2)) + 1e-6))
        some = keras.layers.AveragePooling2D(2)(some)
    scaled = (keras.ops.concatenate(parts, axis=1) - centre) / spread
    model = keras.Model(inputs, keras.layers.Dense(1)(keras.layers.Dense(UNITS, "tanh")(scaled)))
    model.set_weights(start)
    model.compile(keras.optimizers.AdamW(keras.optimizers.schedules.CosineDecay(RATE, STEPS), DECAY), loss="mse")
    return model


model, keras_losses = keras_network(), np.empty(STEPS)
for step, batch in enumerate(batches):
    model.reset_metrics()  # else Keras reports the mean since the first batch
    keras_losses[step] = model.train_on_batch(maps[batch], u[batch])
early = np.abs(keras_losses - losses)[:50].max()
print(f"in Keras: loss {keras_losses[-200:].mean():.3f} at last; the first 50 losses differ by at most {early:.1e}")

# %% [markdown]
# ## How good could it have been?
#
# A loss of 0.05 says nothing by itself. Modes of a Gaussian field are independent, so the probability of a map at each
# Omega_m can be written down, and with it the posterior. Its mean is the estimate of least mean square error that
# exists: nothing that looks at the same maps beats it on average. Two things are worth seeing. The network's error is
# a few per cent above the limit and not at zero, which is where a loss seems to want to go. And a point is not an
# answer: the posterior is wide, and differs from map to map; the network of this project predicts that whole curve.

# %%
grid, probability = ck.limits.exact_posterior(cfg, test_maps)
omega_m = grid[:, 0]
true = (low + high + test_u[:, 0] * (high - low)) / 2
answers = {
    "by hand": network(test_maps, weights).value[:, 0],
    "Keras": model.predict(test_maps, batch_size=500, verbose=0)[:, 0],
}
estimates = {name: (low + high + some * (high - low)) / 2 for name, some in answers.items()}
estimates |= {"exact posterior": probability @ omega_m, "no map": np.full_like(true, (low + high) / 2)}
rmse = {name: float(np.sqrt(np.mean((some - true) ** 2))) for name, some in estimates.items()}
for name, error in rmse.items():
    print(f"{name:>16}: rms error of Omega_m {error:.4f}, efficiency {rmse['exact posterior'] / error:.3f}")

# %% [markdown]
# ## A picture
#
# Losses of both ways on top of each other, falling to the limit; answers against the truth; exact posteriors of four
# maps with the network's answers as dots; and which waves the kernels let through on average, each at its own scale.

# %%
scratch_picture.draw(
    PICTURE,
    {"by hand": losses, "Keras": keras_losses},
    rmse["exact posterior"] / ((high - low) / 2),
    (true, estimates["by hand"], rmse),
    (omega_m, probability),
    ([weights[scale].value[:, :, 0] for scale in range(SCALES)], cfg.grf.box_mpc_h, cfg.data.size),
)
print(f"see {PICTURE}")
