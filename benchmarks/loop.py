"""A round's training loop against its bare model: what drawing, mixing and bookkeeping cost.

    python -m benchmarks.loop [--recipe recipes/gpu.toml] [--backbone tf_efficientnetv2_s.in21k]
        [--batch 64] [--chunks 20000] [--steps 100] [--bf16 on] [--channels-last on] [--compile off]

The loop is `run_epoch` as training calls it, without validation, with all that the recipe's last
round does to crops, over chunks of random bytes in the device's memory; where the round lays them
over soundscapes or has a teacher, these are made up, too. The bare model does forward, BCE,
backward and step on one random batch. `feed` is what the loop does before the model, by itself.
Both ways of each setting are measured unless one is named. Channels last is the memory format of
the weights; what is computed in bfloat16 natively is asked of the device.
Prints a table in Markdown, chunks a second, to be kept in `benchmarks/results/` with the date.
"""

import argparse
import itertools
import platform
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch.optim import AdamW

from birdcore.config import Round, read_recipe
from birdcore.config.training import TrainConfig
from birdcore.features.front_end import FrontEnd
from birdcore.features.recordings import Recordings
from birdcore.features.scale import Scale
from birdcore.models.input import InputSpec, computes_bf16, model_input, pick_device
from birdcore.models.sed import ModelSpec, SedModel, place_model
from birdcore.stages.train import step
from birdcore.training.batch import make_batch
from birdcore.training.checkpoint import Training
from birdcore.training.data import crop_sampling
from birdcore.training.epoch import run_epoch
from birdcore.training.loss import bce
from birdcore.training.optimisation import ema
from birdcore.training.segments import Segments
from birdcore.training.training_set import TrainingSet

CLASSES = 206
WARM_UP = 5
"""Steps before the clock runs: compiling, choosing kernels, filling the allocator's cache."""
SOUNDSCAPE_S = 60.0
CHUNKS_A_SOUNDSCAPE = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--recipe", type=Path, default=Path("recipes/gpu.toml"))
    parser.add_argument("--backbone", default="tf_efficientnetv2_s.in21k")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--chunks", type=int, default=20_000)
    parser.add_argument("--steps", type=int, default=100)
    settings = ("bf16", "channels_last", "compile")
    for setting in settings:
        parser.add_argument(f"--{setting.replace('_', '-')}", choices=["on", "off"])
    options = parser.parse_args()
    device = pick_device()
    recipe = read_recipe(options.recipe)
    one = recipe.round[-1].model_copy(
        update={
            "backbones": (options.backbone,),
            "batch": options.batch,
            "targets": "hard",
            **{"epochs": 2, "repeat": 1, "min_per_class": 0},
            **{"sampler": "recordings", "crops": "random"},
        }
    )
    spec = recipe.mel.spec()
    data = made_up(one, spec, options.chunks, device)
    reads = InputSpec(
        mel=spec,
        scale=data.clips.scale,
        frames=spec.fixed_length(one.crop_s),
        normalise=one.normalise,
        top_db=one.top_db,
    )
    print(describe(one, data, reads, options.steps, device))
    print(f"\nfeed {feed(one, data, reads, options.steps, device):,.0f} chunks/s\n")
    print(
        "| bf16 | channels last | compile | loop, chunks/s | bare model, chunks/s | loop / bare |"
    )
    print("|---|---|---|---|---|---|")
    ways = [
        ("off", "on") if getattr(options, s) is None else (getattr(options, s),) for s in settings
    ]
    for bf16, last, compiled in itertools.product(*ways):
        if bf16 == "on" and not computes_bf16(device):
            print(f"| on | {last} | {compiled} | not native here | | |")
            continue
        how = one.model_copy(update={"precision": "bf16" if bf16 == "on" else "float32"})
        rates = [
            rate(way, how, data, reads, options.steps, last == "on", compiled == "on")
            for way in (loop, bare)
        ]
        loop_rate, bare_rate = rates
        print(
            f"| {bf16} | {last} | {compiled} | {loop_rate:,.1f} | {bare_rate:,.1f} "
            f"| {loop_rate / bare_rate:.2f} |",
            flush=True,
        )


def made_up(one: Round, spec: FrontEnd, chunks: int, device: torch.device) -> TrainingSet:
    """Chunks of random bytes, each a recording of one class, and what the round lays over them."""
    clips = recordings(chunks, spec.fixed_length(one.crop_s), spec, device)
    every = torch.arange(chunks)
    labels = torch.zeros(chunks, CLASSES)
    labels[every, torch.randint(CLASSES, (chunks,))] = 1.0
    background = segments = quiet = None
    if one.teacher or one.background.probability:
        count = -(-chunks // CHUNKS_A_SOUNDSCAPE)
        soundscapes = recordings(count, spec.fixed_length(SOUNDSCAPE_S), spec, device)
        pieces = max(count * 10, 100)
        rows = torch.randint(count, (pieces,), device=device)
        offsets = torch.randint(spec.fixed_length(SOUNDSCAPE_S - one.crop_s), (pieces,)).to(device)
        if one.background.probability:
            background = soundscapes
            quiet = (rows, offsets) if one.background.source == "quiet" else None
        if one.teacher:
            soft = torch.rand(pieces, CLASSES) ** 8
            segments = Segments(
                soundscapes, rows, offsets, soft, soft >= 0.0, torch.ones(pieces).double()
            )
    return TrainingSet(
        clips=clips,
        labels=labels,
        train=every,
        held_out=every[:0],
        segments=segments,
        background=background,
        quiet=quiet,
    )


def recordings(count: int, frames: int, spec: FrontEnd, device: torch.device) -> Recordings:
    return Recordings(
        names=tuple(f"made up {at}" for at in range(count)),
        codes=torch.randint(256, (count * frames, spec.bins), dtype=torch.uint8, device=device),
        starts=torch.arange(count, device=device) * frames,
        lengths=torch.full((count,), frames, device=device),
        spec=spec,
        scale=Scale(),
    )


def describe(
    one: Round, data: TrainingSet, reads: InputSpec, steps: int, device: torch.device
) -> str:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    threads = "" if device.type == "cuda" else f", {torch.get_num_threads()} threads"
    return (
        f"{name}{threads}, torch {torch.__version__}: {one.backbones[0]}, batch {one.batch} of "
        f"{reads.mel.bins} x {reads.frames}, {steps} steps, round {one.name!r}, loss {one.loss}, "
        f"{len(data.clips.names):,} chunks, {data.clips.codes.nbytes / 1e6:,.0f} MB"
    )


def feed(
    one: Round, data: TrainingSet, reads: InputSpec, steps: int, device: torch.device
) -> float:
    """Chunks a second of all that comes before the model, but for the masks of SpecAugment."""
    rng = torch.Generator().manual_seed(0)
    crops = crop_sampling(one, reads.mel)

    def draw(count: int) -> None:
        for _ in range(count):
            rows = torch.randint(len(data.clips.names), (one.batch,), generator=rng)
            model_input(make_batch(data, rows, crops, one, rng).power, reads)

    draw(WARM_UP)
    return one.batch * steps / seconds(lambda: draw(steps), device)


Way = Callable[[Training, Round, TrainingSet, InputSpec, int, int], None]


def rate(
    way: Way,
    one: Round,
    data: TrainingSet,
    reads: InputSpec,
    steps: int,
    channels_last: bool,
    compiled: bool,
) -> float:
    """Chunks a second of one way to train a new model for some steps, after a warm-up."""
    device = data.clips.device
    classes = tuple(f"class {k}" for k in range(CLASSES))
    channels, bins, _ = reads.shape
    shape = ModelSpec.of(one, one.backbones[0], classes, bins, input_channels=channels)
    torch.manual_seed(0)
    model = SedModel(shape)
    model = place_model(model, device) if channels_last else model.to(device)
    if compiled:
        torch._dynamo.reset()
        model.compile()
    average = ema(model, one.ema) if one.ema else None
    optimizer = AdamW(
        model.parameters(), lr=one.learning_rate, weight_decay=one.weight_decay, fused=True
    )
    training = Training(model, average, optimizer)
    way(training, one, data, reads, 0, WARM_UP)
    took = seconds(lambda: way(training, one, data, reads, 1, steps), device)
    return one.batch * steps / took


def loop(
    training: Training, one: Round, data: TrainingSet, reads: InputSpec, epoch: int, steps: int
) -> None:
    """An epoch of so many steps, as the stage `train` runs it."""
    some = replace(data, train=torch.arange(steps * one.batch) % len(data.clips.names))
    config = TrainConfig.model_validate(step(one, one.backbones[0], 0, 0, {}).config)
    run_epoch(training, some, config, reads, epoch)


def bare(
    training: Training, one: Round, data: TrainingSet, reads: InputSpec, epoch: int, steps: int
) -> None:
    """Forward, backward and step, again and again on one random batch."""
    device, model = data.clips.device, training.model.train()
    x = torch.randn(one.batch, *reads.shape, device=device)
    labels = torch.rand(one.batch, CLASSES, device=device)
    bf16 = one.precision == "bf16"
    for _ in range(steps):
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            output = model(x)
        training.optimizer.zero_grad(set_to_none=True)
        bce(output.clipwise_logit.float(), labels).backward()
        training.optimizer.step()


def seconds(work: Callable[[], None], device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
