"""Losses on the order of logits against loops over their pairs, forward and backward; one thread.

    OMP_NUM_THREADS=1 python -m benchmarks.losses [--rows 512] [--classes 206]

The loops are those that the field copies: class by class a B x B matrix of pairs. `soft_auc` pools
all classes, P logits with targets above .5 and N below: one row of N at a time, and P x N at once.
Labels are hard (one class a row) or soft (of the others up to .5, as a teacher's are). Times are
medians in float32, of the processor's seconds, which other processes don't change much; `apart` is
the largest difference of values and of gradients in float64, over the largest of their own; memory
is what the peak of a process of its own grows by.
Prints a table in Markdown, to be kept in `benchmarks/results/` with date and machine.
"""

import argparse
import itertools
import multiprocessing
import time
from collections.abc import Callable
from functools import partial
from statistics import median

import torch
from torch import Tensor
from torch.nn.functional import relu, softplus

from benchmarks.peak import peak_mb
from birdcore.training.ranking import halves_auc, hinge_auc, soft_auc, weighted_hinge_auc

Loss = Callable[[Tensor, Tensor], Tensor]

OURS, LOOPS = 15, 3
"""Repeats."""


def soft_matrix(s: Tensor, y: Tensor) -> Tensor:
    high, low = y > 0.5, y < 0.5
    terms = softplus(s[low][None] - s[high][:, None])
    return ((y[high] - 0.5)[:, None] * (0.5 - y[low])[None] * terms).mean()


def soft_rows(s: Tensor, y: Tensor) -> Tensor:
    high, low = y > 0.5, y < 0.5
    lower, weights = s[low], 0.5 - y[low]
    rows = [
        (w * weights * softplus(lower - x)).mean()
        for x, w in zip(s[high], y[high] - 0.5, strict=True)
    ]
    return torch.stack(rows).mean()


def halves_loops(s: Tensor, y: Tensor) -> Tensor:
    losses = []
    for p, t in zip(s.sigmoid().T, y.T, strict=True):
        order = torch.argsort(t, descending=True, stable=True)
        upper, lower = p[order[: len(p) // 2]], p[order[len(p) // 2 :]]
        losses.append(torch.sigmoid(-(upper[:, None] - lower[None])).mean())
    return torch.stack(losses).mean()


def hinge_loops(s: Tensor, y: Tensor, margin: float = 1.0, weighted: bool = False) -> Tensor:
    losses = []
    for p, t in zip(s.sigmoid().T, y.T, strict=True):
        ahead = t[:, None] - t[None]
        pairs = ahead > 0
        if pairs.any():
            terms = relu(margin - (p[:, None] - p[None]))[pairs]
            if weighted:
                losses.append((terms * ahead[pairs]).sum() / ahead[pairs].sum())
            else:
                losses.append(terms.mean())
    return torch.stack(losses).mean()


FORMS: dict[str, tuple[Loss, Loss]] = {
    "soft_auc, row by row": (soft_auc, soft_rows),
    "soft_auc, P x N at once": (soft_auc, soft_matrix),
    "hinge_auc": (hinge_auc, hinge_loops),
    "weighted_hinge_auc": (weighted_hinge_auc, partial(hinge_loops, weighted=True)),
    "hinge_auc, margin .5": (partial(hinge_auc, margin=0.5), partial(hinge_loops, margin=0.5)),
    "weighted_hinge_auc, margin .5": (
        partial(weighted_hinge_auc, margin=0.5),
        partial(hinge_loops, margin=0.5, weighted=True),
    ),
    "halves_auc": (halves_auc, halves_loops),
}


def draw(kind: str, rows: int, classes: int) -> tuple[Tensor, Tensor]:
    """Logits and labels, both (rows, classes) float32."""
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(rows, classes, generator=generator)
    own = torch.randint(classes, (rows, 1), generator=generator)
    if kind == "hard":
        return logits, torch.zeros(rows, classes).scatter_(1, own, 1.0)
    labels = 0.5 * torch.rand(rows, classes, generator=generator) ** 4
    return logits, labels.scatter_(1, own, 1 - 0.4 * torch.rand(rows, 1, generator=generator))


def value_and_gradient(loss: Loss, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    x = logits.clone().requires_grad_()
    value = loss(x, labels)
    (gradient,) = torch.autograd.grad(value, x)
    return value.detach(), gradient


def seconds(loss: Loss, logits: Tensor, labels: Tensor) -> float:
    start = time.process_time()
    value_and_gradient(loss, logits, labels)
    return time.process_time() - start


def timed(ours: Loss, theirs: Loss, logits: Tensor, labels: Tensor) -> tuple[float, float]:
    """Medians in seconds; the ways take turns, so that both meet the same machine."""
    few = OURS // LOOPS
    seconds(ours, logits, labels)
    took: tuple[list[float], list[float]] = ([], [])
    for _ in range(LOOPS):
        took[1].append(seconds(theirs, logits, labels))
        took[0].extend(seconds(ours, logits, labels) for _ in range(few))
    return median(took[0]), median(took[1])


def apart(ours: Loss, theirs: Loss, logits: Tensor, labels: Tensor) -> tuple[float, ...]:
    """The largest relative differences of value and gradient in float64."""
    found, expected = (
        value_and_gradient(loss, logits.double(), labels.double()) for loss in (ours, theirs)
    )
    return tuple(
        float((a - b).abs().max() / b.abs().max()) for a, b in zip(found, expected, strict=True)
    )


def grown(kind: str, name: str, which: int, rows: int, classes: int) -> float:
    """MB by which the peak of this process grows with a form (its loops: `which` 1)."""
    loss = FORMS[name][which]
    value_and_gradient(loss, *draw(kind, 8, 4))
    given = draw(kind, rows, classes)
    before = peak_mb()
    value_and_gradient(loss, *given)
    return peak_mb() - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=512)
    parser.add_argument("--classes", type=int, default=206)
    options = parser.parse_args()
    torch.set_num_threads(1)
    size = (options.rows, options.classes)
    print(f"B {size[0]}, C {size[1]}; ours the median of {OURS}, loops of {LOOPS}\n")
    print("| loss | labels | ours, ms | loops, s | ratio | apart | ours, MB | loops, MB |")
    print("|---|---|---|---|---|---|---|---|")
    ways = list(itertools.product(("hard", "soft"), FORMS))
    # A process of its own for each, forked before this one has grown: a peak never falls.
    with multiprocessing.get_context("fork").Pool(1, maxtasksperchild=1) as pool:
        asked = [(*way, which, *size) for way in ways for which in (0, 1)]
        memory = pool.starmap(grown, asked, chunksize=1)
    for (kind, name), mb, loops_mb in zip(ways, memory[::2], memory[1::2], strict=True):
        fast, slow = timed(*FORMS[name], *draw(kind, *size))
        value, gradient = apart(*FORMS[name], *draw(kind, *size))
        print(
            f"| {name} | {kind} | {1000 * fast:.1f} | {slow:.2f} | {slow / fast:.0f} "
            f"| {value:.0e}, {gradient:.0e} | {mb:.0f} | {loops_mb:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
