# %% [markdown]
"""The first part of `study.ml_from_scratch`: derivatives of a program and a convolution, in NumPy alone.

Reverse-mode differentiation: Griewank & Walther 2008, Evaluating Derivatives, ch. 3; convolutions in networks:
LeCun et al. 1989, Neural Computation 1, 541. To be read, or run cell by cell, before the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

Array = np.ndarray

# %% [markdown]
# ## Derivatives of a program
#
# Any program that computes a number is a chain of small steps: a sum, a product, a logarithm. Each step knows its own
# derivative. So let every value remember what it was made of, and for each ingredient a rule that turns "by how much
# the end changes if I change" into the same for the ingredient. Start at the end, where the answer is 1, walk back
# through the chain, and add up what arrives: that is reverse-mode differentiation. One walk back gives the derivative
# with respect to every ingredient at once, for about the cost of computing the value; differences would need a run for
# each.


# %%
class Node:
    """An array that remembers what it was made of: pairs of a node and the rule that pulls a gradient back to it."""

    def __init__(self, value: Array, made_of: Sequence[tuple[Node, Callable[[Array], Array]]] = ()) -> None:
        self.value, self.made_of, self.grad = np.asarray(value), made_of, np.zeros(())


def backward(end: Node) -> None:
    """Set `grad` of everything that `end`, a single number, was made of."""
    order: list[Node] = []
    seen: set[int] = set()

    def visit(node: Node) -> None:
        if id(node) not in seen:
            seen.add(id(node))
            for ingredient, _ in node.made_of:
                visit(ingredient)
            order.append(node)

    visit(end)
    for node in order:
        node.grad = np.zeros_like(node.value)
    end.grad = np.ones_like(end.value)
    for node in reversed(order):  # all that a node feeds into comes before it
        for ingredient, pull in node.made_of:
            ingredient.grad = ingredient.grad + pull(node.grad)


def shrink(gradient: Array, shape: tuple[int, ...]) -> Array:
    """Undo broadcasting: what was used many times gets the sum of what arrives."""
    extra = gradient.ndim - len(shape)
    axes = tuple(range(extra)) + tuple(extra + i for i, n in enumerate(shape) if n == 1)
    return gradient.sum(axis=axes, keepdims=True).reshape(shape)


def add(a: Node, b: Node) -> Node:
    """Sum; a change of either goes through as it is."""
    pulls = [(one, lambda g, s=one.value.shape: shrink(g, s)) for one in (a, b)]
    return Node(a.value + b.value, pulls)


def matmul(a: Node, b: Node) -> Node:
    """Matrix product (n, m) (m, p)."""
    return Node(a.value @ b.value, [(a, lambda g: g @ b.value.T), (b, lambda g: a.value.T @ g)])


def tanh(a: Node) -> Node:
    """The bend without which layers would be one matrix."""
    out = np.tanh(a.value)
    return Node(out, [(a, lambda g: g * (1 - out**2))])


def log_power(a: Node, floor: float = 1e-6) -> Node:
    """Logarithm of the mean square over the pixels of maps (n, h, w, channels): (n, channels)."""
    power = np.mean(a.value**2, axis=(1, 2)) + floor
    pixels = a.value.shape[1] * a.value.shape[2]
    return Node(np.log(power), [(a, lambda g: (g / power)[:, None, None] * 2 * a.value / pixels)])


def join(parts: Sequence[Node]) -> Node:
    """Features (n, c_i) side by side."""
    ends = np.cumsum([part.value.shape[1] for part in parts])
    pulls = [(p, lambda g, i=end - p.value.shape[1], j=end: g[:, i:j]) for p, end in zip(parts, ends, strict=True)]
    return Node(np.concatenate([part.value for part in parts], axis=1), pulls)


def mean_square(a: Node, truth: Array) -> Node:
    """Mean of (a - truth)^2, a single number."""
    error = a.value - truth
    return Node(np.mean(error**2), [(a, lambda g: g * 2 * error / error.size)])


# %% [markdown]
# ## A convolution
#
# Shift the map, multiply by a number, add over shifts: that is all. The numbers are the kernel, and they are what is
# learned. Because the same kernel acts everywhere, a pattern is found wherever it is; because our maps are periodic,
# so are the shifts. In Fourier space a convolution multiplies each mode by a number of its own, so a kernel is a
# filter, and the mean square of what it lets through is the power of the map in a band. The logarithm of that is a
# good thing to look at, as the scatter of a power is a fixed part of the power.


# %%
def neighbours(x: Array, size: int) -> Array:
    """What a kernel of size x size meets at each pixel of periodic maps (n, h, w, c): (n, h, w, size * size * c)."""
    half = size // 2
    around = np.pad(x, ((0, 0), (half, half), (half, half), (0, 0)), mode="wrap")
    windows = np.lib.stride_tricks.sliding_window_view(around, (size, size), axis=(1, 2))  # (n, h, w, c, size, size)
    return windows.transpose(0, 1, 2, 4, 5, 3).reshape(*x.shape[:3], -1)


def convolve(x: Node | Array, kernel: Node) -> Node:
    """Periodic maps x (n, h, w, c) seen through a kernel (size, size, c, filters); no gradient for a plain array."""
    size, filters = kernel.value.shape[0], kernel.value.shape[-1]
    seen = neighbours(x.value if isinstance(x, Node) else x, size)
    seen_by_column = seen.reshape(-1, seen.shape[-1])

    def to_kernel(g: Array) -> Array:
        return (seen_by_column.T @ g.reshape(-1, filters)).reshape(kernel.value.shape)

    def to_maps(g: Array) -> Array:  # the way back is a convolution too, with the kernel turned around
        turned = kernel.value[::-1, ::-1].transpose(0, 1, 3, 2)
        return neighbours(g, size) @ turned.reshape(-1, turned.shape[-1])

    made_of = [(kernel, to_kernel)] + ([(x, to_maps)] if isinstance(x, Node) else [])
    out = seen_by_column @ kernel.value.reshape(-1, filters)
    return Node(out.reshape(*seen.shape[:3], filters), made_of)
