"""Picture of `benchmarks.npe`: nll by number of training maps, and on the watched maps by seconds of training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

MIDDLE = 1  # of the numbers of training maps: the one whose curves are drawn


def picture(path: Path, result: Mapping[str, Any]) -> None:
    """Draw a row of two panels for each case."""
    from cosmokeras.report import style

    with style.canvas(path, 10, 0.4 + 3.4 * len(result)) as figure:
        for (case, found), (left, right) in zip(
            result.items(), figure.subplots(len(result), 2, squeeze=False), strict=True
        ):
            counts = list(found["maps"])
            everyone = list(dict.fromkeys(who for rows in found["maps"].values() for who in rows))
            colours = dict(zip([who for who in everyone if "," not in who], style.COLOURS, strict=False))
            middle = counts[min(MIDDLE, len(counts) - 1)]
            for who in everyone:
                colour, more = colours[who.split(",")[0]], "," in who
                line = {"color": colour, "ls": ":" if more else "-", "label": who}
                points = [(int(n), rows[who]["nll"]) for n, rows in found["maps"].items() if who in rows]
                left.plot(*zip(*points, strict=True), marker="os"[more], ms=5, **line)
                if who in found["maps"][middle]:
                    right.plot(*zip(*found["maps"][middle][who]["curve"], strict=True), **line)
            if "exact_nll" in found:
                left.axhline(found["exact_nll"], color=style.GREY, lw=1, label="exact posterior")
            values = [rows[who]["nll"] for rows in found["maps"].values() for who in rows]
            low, high = min([*values, found.get("exact_nll", min(values))]), max(values)
            space = 0.1 * (high - low) + 1e-3
            left.set(xscale="log", xlabel="training maps", ylabel="nll of the test maps [nats]", title=case)
            left.set_xticks([int(n) for n in counts], counts)
            left.minorticks_off()
            left.set_ylim(low - space, high + space)
            right.set(xlabel="seconds of training", ylabel="nll of the watched maps [nats]", title=f"{middle} maps")
            right.set_ylim(low - space, high + 6 * space)
            left.legend(loc="best")
