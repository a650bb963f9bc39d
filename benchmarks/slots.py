"""Depth maps to objects: all methods on the same scenes, the losses one by one, speed, and real depth.

    python benchmarks/slots.py [--only table ablation speed kitchen] [--out FILE.json] [--model RUN] [--data FOLDER]
        [--splits iso contact ...] [--seeds 0 1 2] [--scenes 64] [--methods NAME ...] [--sheets FOLDER]

* ``table``: for each split of ``fieldscape make street`` and each method, the columns that ``evaluate.COLUMNS``
  explains and milliseconds a map on the processor (points aside, segmentation included): mean, least and largest over
  the seeds. The radius of Euclidean clustering is the best one on validation scenes of the split. Rows that begin from
  segments say whose. The literal loss is slow, and is fitted to the first 16 scenes.
* ``ablation``: the direct fit with each of its losses switched off in turn, and without merges, on validation scenes.
* ``speed``: segmentation, encoder and whole fits; nearest points against ``torch.cdist`` as in ``raster.py``.
* ``kitchen``: frames of a real depth video (``--data``), far cut 4 m: fits, and which objects are found again in
  neighbouring frames.

Without ``--model`` only methods without a network are run. What is done is written to ``--out`` as it comes.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import raster as nearest_points
import torch
from torch import Tensor

from fieldscape import devices
from fieldscape.data.depth.frames import DepthFrames
from fieldscape.data.depth.opening import open_depth
from fieldscape.data.depth.record import DepthMap
from fieldscape.images import write_image
from fieldscape.systems.slots import clusters, direct, evaluate, figures, fit
from fieldscape.systems.slots.codec import likely
from fieldscape.systems.slots.config import FitConfig
from fieldscape.systems.slots.convexity import ConvexitySettings, segment
from fieldscape.systems.slots.evaluate import Found, Judged, from_clusters, from_slots
from fieldscape.systems.slots.literal import fit_literally
from fieldscape.systems.slots.neighbours import Seen, found_again
from fieldscape.systems.slots.objects import Objects, drawn
from fieldscape.systems.slots.options import SlotsFitOptions
from fieldscape.systems.slots.points import Observed, PointSettings, prepare
from fieldscape.systems.slots.prototypes import Prototypes
from fieldscape.systems.slots.reducing import enlarged, reduced, times_smaller
from fieldscape.systems.slots.scenes import Example, draw_examples
from fieldscape.systems.slots.targets import inverse

SPLITS = ("iso", "contact", "clutter", "unseen-shape", "noise", "contact-noise")
FAR = 14.0
"""Things on the street start up to 10.5 m away, and may stand behind each other."""
STREET = PointSettings(far=FAR)
VALIDATION = 1000
"""The seed of scenes that choices are made on; figures are of other seeds."""
BATCH = 8
"""Depth maps that are fitted or encoded at once."""
LITERAL = 16
"""Scenes of a split that the literal loss is fitted to."""
FAR_KITCHEN = 4.0
APART = (1, 5)
"""Frames between which objects are found again."""

Finder = Callable[[Sequence[Example], Sequence[Observed]], list[Found]]


# -------------------------------------------------------------------------------------------------------------- methods


def convexity(examples: Sequence[Example], observed: Sequence[Observed]) -> list[Tensor]:
    return [segment(e.depth_map, o, ConvexitySettings()) for e, o in zip(examples, observed)]


def shapes(config: FitConfig) -> Prototypes:
    return fit.prototypes_of(config, 0)


def by_fit(config: FitConfig) -> Finder:
    """Convexity, then the fit of slots, with its merges."""

    def find(examples: Sequence[Example], observed: Sequence[Observed]) -> list[Found]:
        segments, prototypes = convexity(examples, observed), shapes(config)
        fitted = direct.fit(observed, segments, prototypes, config)
        return found_of(fitted, prototypes, observed, segments)

    return find


def found_of(
    fitted: direct.Fitted, prototypes: Prototypes, observed: Sequence[Observed], segments: Sequence[Tensor] | None
) -> list[Found]:
    return [
        from_slots(fitted.vecta[k][fitted.alive[k]], prototypes, each, None if segments is None else segments[k])
        for k, each in enumerate(observed)
    ]


def literally(examples: Sequence[Example], observed: Sequence[Observed]) -> list[Found]:
    """The loss that this began with: slots at random places, one-way distances from all points."""
    prototypes = Prototypes(6, 2, torch.Generator().manual_seed(0), "random")
    rows = [
        fit_literally(each, prototypes, 8, 200, torch.Generator().manual_seed(k)) for k, each in enumerate(observed)
    ]
    return [from_slots(vecta, prototypes, each) for vecta, each in zip(rows, observed)]


def by_clusters(labels: Callable[[Example, Observed], Tensor]) -> Finder:
    return lambda examples, observed: [from_clusters(o, labels(e, o)) for e, o in zip(examples, observed)]


def true_count(example: Example) -> int:
    assert example.depth_map.instances is not None
    return figures.count_of(example.depth_map.instances, 1)


def best_radius(split: str, scenes: int) -> float:
    """Of Euclidean clustering, on validation scenes."""
    examples = draw_examples(split, VALIDATION, scenes, samples=0)
    observed = [prepare(each.depth_map, STREET) for each in examples]

    def index(radius: float) -> float:
        return evaluate.mean_of(
            [
                figures.foreground_ari(clusters.euclidean_labels(o, radius), e.depth_map.instances, e.depth_map.valid)
                for e, o in zip(examples, observed)
                if e.depth_map.instances is not None
            ]
        )

    return max(clusters.RADII, key=index)


def learned(run: Path) -> dict[str, Finder]:
    """The rows of a trained model: what segments it begins from is said in their names."""
    from fieldscape.systems.slots.model import read_model

    model = read_model(run)
    whose = "convexity" if model.teacher is None else "teacher"

    def segments_of(examples: Sequence[Example], observed: Sequence[Observed]) -> list[Tensor]:
        return [model.segment(e.depth_map, o) for e, o in zip(examples, observed)]

    def alone(examples: Sequence[Example], observed: Sequence[Observed]) -> list[Found]:
        encoded = model.encode(observed)
        found = []
        for k, each in enumerate(observed):
            there = likely(encoded.vecta[k])
            attended = attended_by(each, encoded.attention[k], there)
            one = from_slots(encoded.vecta[k][there], model.prototypes, each)
            found.append(replace(one, pixels=attended))
        return found

    def refined(led: bool) -> Finder:
        def find(examples: Sequence[Example], observed: Sequence[Observed]) -> list[Found]:
            segments = segments_of(examples, observed) if led else None
            return found_of(model.find(observed, segments), model.prototypes, observed, segments)

        return find

    rows: dict[str, Finder] = {
        "encoder alone": alone,
        "encoder refined": refined(False),
        f"whole pipeline ({whose}, encoder, refined)": refined(True),
    }
    if model.teacher is not None:
        rows = {"teacher + ellipsoid": by_clusters(lambda e, o: model.segment(e.depth_map, o))} | rows
    return rows


def attended_by(observed: Observed, attention: Tensor, there: Tensor) -> Tensor:
    """Pixels by the slot that has the largest share of the nearest point; numbered among those that exist."""
    from fieldscape.systems.slots.validation import grouped

    numbers = torch.cat([torch.zeros(1, dtype=torch.long), there.long().cumsum(0) * there])
    return numbers[grouped(observed, attention, there)]


# ---------------------------------------------------------------------------------------------------------------- table


def table(arguments: argparse.Namespace, keep: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    out: dict[str, Any] = {"scenes": arguments.scenes, "seeds": arguments.seeds, "splits": {}}
    models = learned(arguments.model) if arguments.model else {}
    for split in arguments.splits:
        radius = best_radius(split, min(32, arguments.scenes))
        methods: dict[str, Finder] = {
            "k-means, true k": by_clusters(lambda e, o: clusters.kmeans_labels(o, true_count(e))),
            f"Euclid {radius} m": by_clusters(lambda e, o, r=radius: clusters.euclidean_labels(o, r)),  # type: ignore[misc]
            "convexity + ellipsoid": by_clusters(lambda e, o: segment(e.depth_map, o, ConvexitySettings())),
            "literal loss": literally,
            "fit (convexity, no network)": by_fit(FitConfig(far=FAR)),
            **models,
        }
        if arguments.methods:
            methods = {name: each for name, each in methods.items() if any(m in name for m in arguments.methods)}
        rows: dict[str, list[dict[str, float]]] = {name: [] for name in methods}
        for seed in arguments.seeds:
            examples = draw_examples(split, seed, arguments.scenes)
            observed = [prepare(each.depth_map, STREET) for each in examples]
            for name, finder in methods.items():
                count = min(LITERAL, len(examples)) if name == "literal loss" else len(examples)
                judged, spent = run(finder, examples[:count], observed[:count])
                rows[name].append(evaluate.row(judged) | {"ms": 1000 * spent / count})
        out["splits"][split] = {name: evaluate.over_seeds(each) for name, each in rows.items()}
        show(f"{split}: {arguments.scenes} scenes of each of the seeds {arguments.seeds}", out["splits"][split])
        keep(out)
    return out


def run(finder: Finder, examples: Sequence[Example], observed: Sequence[Observed]) -> tuple[list[Judged], float]:
    """What was found, judged, and the seconds of the processor that finding took."""
    judged: list[Judged] = []
    spent = 0.0
    for start in range(0, len(examples), BATCH):
        some, seen = examples[start : start + BATCH], observed[start : start + BATCH]
        begun = time.process_time()
        found = finder(some, seen)
        spent += time.process_time() - begun
        judged += [evaluate.judge(each, e.truth, o) for each, e, o in zip(found, some, seen)]
    return judged, spent


def show(title: str, rows: dict[str, dict[str, list[float]]]) -> None:
    """The means, a method a line."""
    names = next(iter(rows.values()), {})
    print(f"\n{title}\n{'':44}" + "".join(f"{name[:10]:>11}" for name in names))
    for method, figures_of in rows.items():
        cells = "".join(f"{each[0]:11.3f}" if not math.isnan(each[0]) else f"{'-':>11}" for each in figures_of.values())
        print(f"{method[:43]:44}{cells}", flush=True)


# ------------------------------------------------------------------------------------------------------------- ablation


def ablation(arguments: argparse.Namespace, keep: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    count = min(arguments.scenes, 16)
    config = FitConfig(far=FAR)
    losses = ("belonging", "free", "sparsity", "parsimony", "size", "overlap", "support")
    variants = {"all losses": config}
    variants |= {f"without {name}": replace(config, weights=replace(config.weights, **{name: 0.0})) for name in losses}
    variants |= {"without merges": replace(config, merge_rounds=0), "without stretch": replace(config, aspect=False)}
    out: dict[str, Any] = {"scenes": count, "seed": VALIDATION, "splits": {}}
    for split in [each for each in arguments.splits if each in ("iso", "contact")]:
        examples = draw_examples(split, VALIDATION, count)
        observed = [prepare(each.depth_map, STREET) for each in examples]
        out["splits"][split] = {
            name: evaluate.over_seeds([evaluate.row(run(by_fit(each), examples, observed)[0])])
            for name, each in variants.items()
        }
        show(f"{split}: {count} scenes of seed {VALIDATION}", out["splits"][split])
        keep(out)
    return out


# ---------------------------------------------------------------------------------------------------------------- speed


def speed(arguments: argparse.Namespace, keep: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Wall-clock and processor seconds; on a shared machine only the latter, and ratios, mean much."""
    examples = draw_examples("contact", VALIDATION, 16, samples=0)
    observed = [prepare(each.depth_map, STREET) for each in examples]
    config = FitConfig(far=FAR)

    def one(k: int) -> None:
        seen = prepare(examples[k].depth_map, STREET)
        direct.fit([seen], [segment(examples[k].depth_map, seen, ConvexitySettings())], shapes(config), config)

    timed: dict[str, tuple[Callable[[], object], int]] = {
        "points": (lambda: [prepare(each.depth_map, STREET) for each in examples], 16),
        "points and convexity": (
            lambda: [segment(e.depth_map, prepare(e.depth_map, STREET), ConvexitySettings()) for e in examples],
            16,
        ),
        "slots fit, one map at a time": (lambda: [one(k) for k in range(3)], 3),
    }
    if arguments.model:
        from fieldscape.systems.slots.model import read_model

        model = read_model(arguments.model)
        timed["encoder, 16 maps at once"] = (lambda: model.encode(observed), 16)

        def whole() -> None:
            seen = [prepare(each.depth_map, STREET) for each in examples]
            model.encode(seen, [model.segment(e.depth_map, o) for e, o in zip(examples, seen)])

        timed["points, segments and encoder"] = (whole, 16)
    out: dict[str, Any] = {"threads": torch.get_num_threads(), "maps a second": {}}
    for name, (step, maps) in timed.items():
        step()
        wall, spent = (statistics.median(each) for each in zip(*(nearest_points.measured(step) for _ in range(3))))
        rates = [round(maps / wall, 2), round(maps / spent, 2)]
        out["maps a second"][name] = {"wall": rates[0], "processor": rates[1]}
        print(f"{name:36} {rates[0]:9.2f} maps a second, {rates[1]:9.2f} a second of the processor", flush=True)
    keep(out)
    points, targets = nearest_points.clouds()
    turns = {"ours": nearest_points.our_distances, "cdist": nearest_points.plain_distances}
    seconds: dict[str, list[float]] = {name: [] for name in turns}
    for turn in range(6):
        for name, distances in turns.items():
            spent = nearest_points.measured(partial(distances, points, targets))[1]
            if turn:
                seconds[name].append(spent)
    medians = {name: statistics.median(each) for name, each in seconds.items()}
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        grown = {name: pool.apply(nearest_points.memory, (name,)) for name in turns}
    out["nearest points"] = {"milliseconds": {k: round(1e3 * v, 2) for k, v in medians.items()}, "megabytes": grown}
    times = medians["cdist"] / medians["ours"]
    print(f"nearest points, 4,096 by 4,096: {times:.1f} times as fast as cdist, {grown['ours']:.1f} MB more at the")
    print(f"  peak against {grown['cdist']:.1f} MB")
    return out


# -------------------------------------------------------------------------------------------------------------- kitchen


def kitchen(arguments: argparse.Namespace, keep: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Fits of real depth maps, and the objects of each looked for in frames a little later."""
    if arguments.data is None:
        raise SystemExit("kitchen needs --data FOLDER: a depth video with poses.")
    frames = open_depth(arguments.data, "auto", None, None)
    last = len(frames) - 1 - max(APART)
    chosen = [round(k * last / max(1, arguments.frames - 1)) for k in range(arguments.frames)]
    config = fit.planned(SlotsFitOptions(arguments.data, far=FAR_KITCHEN, slots=24))
    rows, again = [], {n: [0, 0, [], []] for n in APART}  # type: ignore[var-annotated]
    for number in chosen:
        objects, seen, row = solved(frames, number, config)
        rows.append({"frame": number} | row)
        print(f"frame {number}: {row}", flush=True)
        if arguments.sheets:
            arguments.sheets.mkdir(parents=True, exist_ok=True)
            write_image(arguments.sheets / f"frame-{number}.png", overlay(objects, seen, frames[number]))
        for step in APART:
            _, later, _ = solved(frames, number + step, config)
            result = found_again(seen[0], later[0])
            again[step][0] += len(result.numbers)
            again[step][1] += int(result.found.sum())
            again[step][2] += result.overlap[result.found].tolist()
            again[step][3] += result.apart[result.found].tolist()
    out = {"frames": rows, "again": {}}
    for name in ("scene_to_mesh", "free_space_violation", "seconds", "processor_seconds", "objects", "things_share"):
        values = [float(row[name]) for row in rows]
        out[name] = {"median": statistics.median(values), "largest": max(values)}  # type: ignore[assignment]
        print(f"{name:22} median {statistics.median(values):.3f}, largest {max(values):.3f}")
    for step, (count, hits, overlaps, apart) in again.items():
        middle = [round(statistics.median(each), 3) if each else None for each in (overlaps, apart)]
        out["again"][str(step)] = {  # type: ignore[call-overload]
            "looked_for": count, "found": hits, "overlap": middle[0], "centers_apart": middle[1],
        }  # fmt: skip
        print(
            f"{step} frames later {hits} of {count} objects are found again; overlap {middle[0]}, {middle[1]} m apart"
        )
    keep(out)
    return out


def solved(
    frames: DepthFrames, number: int, config: FitConfig
) -> tuple[Objects, tuple[Seen, Observed], dict[str, Any]]:
    """The objects of a frame as ``slots fit`` finds them."""
    given = frames[number]
    wall, begun = time.monotonic(), time.process_time()
    small = reduced(given, times_smaller(given))
    observed, _ = fit.seen(small, config, 0)
    labels = segment(small, observed, ConvexitySettings())
    prototypes = fit.prototypes_of(config, 0)
    fitted = direct.fit([observed], [labels], prototypes, config)
    objects = fit.found(fitted, prototypes, observed, config)
    seconds = {"seconds": time.monotonic() - wall, "processor_seconds": time.process_time() - begun}
    back = inverse(observed.from_camera)
    centers = objects.slots.position @ back[:3, :3].T + back[:3, 3]
    shown = torch.where(observed.smooth < observed.far, observed.smooth, 0.0)
    return (
        objects,
        (Seen(objects.pixels, shown, centers, small), observed),
        fit.measured(objects, observed, given) | {k: round(v, 2) for k, v in seconds.items()},
    )


def overlay(objects: Objects, seen: tuple[Seen, Observed], given: DepthMap) -> Tensor:
    """The colour picture, the pixels of objects on it, and the objects as they would be seen, side by side."""
    photo = given.color.float() / 255 if given.color is not None else torch.zeros(*given.depth.shape, 3)
    which, _ = drawn(objects, given.camera, inverse(seen[1].from_camera))
    pixels = enlarged(objects.pixels, times_smaller(given), *given.depth.shape)
    return torch.cat([photo, fit.overlaid(pixels, objects, photo), fit.overlaid(which, objects, photo)], 1)


# ----------------------------------------------------------------------------------------------------------------- main

PARTS = {"table": table, "ablation": ablation, "speed": speed, "kitchen": kitchen}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=["table", "ablation", "speed"])
    parser.add_argument("--out", type=Path, help="where to write the figures as JSON")
    parser.add_argument("--model", type=Path, help="a run of fieldscape slots train")
    parser.add_argument("--data", type=Path, help="a real depth video, for kitchen")
    parser.add_argument("--sheets", type=Path, help="a folder for pictures of kitchen")
    parser.add_argument("--frames", type=int, default=10, help="of kitchen")
    parser.add_argument("--splits", nargs="+", default=list(SPLITS), choices=SPLITS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--scenes", type=int, default=64)
    parser.add_argument("--methods", nargs="+", help="only methods whose names have one of these in them")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    result: dict[str, Any] = {"machine": devices.describe(torch.device("cpu")), "torch": torch.__version__}

    def keeper(name: str) -> Callable[[dict[str, Any]], None]:
        def keep(part: dict[str, Any]) -> None:
            result[name] = part
            if arguments.out:
                arguments.out.write_text(json.dumps(finite(result), indent=1) + "\n")

        return keep

    for name in arguments.only:
        keeper(name)(PARTS[name](arguments, keeper(name)))


def finite(value: Any) -> Any:
    """The same with nothing in place of what is not a number, which JSON does not have."""
    if isinstance(value, dict):
        return {str(name): finite(each) for name, each in value.items()}
    if isinstance(value, list):
        return [finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


if __name__ == "__main__":
    main()
