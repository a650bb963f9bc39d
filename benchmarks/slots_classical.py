"""How well things are told apart in depth maps without any learning: what slots have to beat.

    python benchmarks/slots_classical.py [--out FILE.json] [--scenes 64] [--seed 0] [--splits iso contact ...]

For each split of ``fieldscape make street``: k-means that is told the true number, Euclidean clustering at several
radii, and convexity with depth gaps, each with an ellipsoid a thing. Columns: foreground adjusted Rand index (pixels of
known depth); count error (20 pixels on both sides); scene to mesh, mesh to truth, truth to mesh (things of 20 pixels
and more) in metres, means; free-space violation; median centre error in metres; milliseconds a map on one core.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from fieldscape.systems.slots import clusters, figures
from fieldscape.systems.slots.convexity import ConvexitySettings, segment
from fieldscape.systems.slots.points import Observed, PointSettings, prepare
from fieldscape.systems.slots.scenes import SPLITS, Example, draw_examples

STREET = PointSettings(far=14.0)
"""Things on the street start up to 10.5 m away, and may stand behind each other."""

COLUMNS = ("ari", "count", "x_to_p", "p_to_truth", "truth_to_p", "violation", "center", "ms")


def rows(examples: list[Example], observed: list[Observed]) -> dict[str, dict[str, float]]:
    def true_count(example: Example) -> int:
        return figures.count_of(example.depth_map.instances, 1)  # type: ignore[arg-type]

    methods: dict[str, Callable[[Example, Observed], Tensor]] = {
        "k-means, true k": lambda e, o: clusters.kmeans_labels(o, true_count(e)),
        **{f"Euclid {r} m": lambda e, o, r=r: clusters.euclidean_labels(o, r) for r in clusters.RADII},  # type: ignore[misc]
        "convexity": lambda e, o: segment(e.depth_map, o, ConvexitySettings()),
    }
    return {name: row(examples, observed, method) for name, method in methods.items()}


def row(
    examples: list[Example], observed: list[Observed], method: Callable[[Example, Observed], Tensor]
) -> dict[str, float]:
    method(examples[0], observed[0])
    all_rows, spent, centers = [], 0.0, []
    for example, seen in zip(examples, observed):
        start = time.process_time()
        labels = method(example, seen)
        spent += time.process_time() - start
        depth_map, truth = example.depth_map, example.truth
        instances = depth_map.instances
        assert instances is not None
        found = clusters.ellipsoids(seen, labels)
        back = torch.linalg.inv(seen.from_camera)
        model = torch.cat([clusters.ellipsoid_points(each) for each in found]) if found else torch.zeros(0, 3)
        surface = model @ back[:3, :3].T + back[:3, 3]
        visible = truth.visible >= 20
        if found:
            middles = torch.stack([each.center for each in found]) @ back[:3, :3].T + back[:3, 3]
            errors = figures.pose_errors(
                middles,
                torch.tensor([each.scale for each in found]),
                torch.tensor([each.yaw for each in found]),
                truth.centers[visible],
                truth.scales[visible],
                figures.yaws_of(truth.poses[visible], seen.from_camera),
                truth.symmetry[visible],
            )
            centers += errors.center.tolist()
        all_rows.append(
            (
                figures.foreground_ari(labels, instances, depth_map.valid),
                figures.count_error(labels, instances),
                figures.scene_to_mesh(seen.points, seen.weights, model).mean,
                figures.mesh_to_truth(surface, truth.surfaces).mean,
                figures.truth_to_mesh(truth.surfaces, surface, visible).mean,
                figures.free_space_violation(surface, depth_map, seen.far),
            )
        )
    means = [statistics.fmean(v for v in column if v == v) for column in zip(*all_rows)]
    return dict(zip(COLUMNS, (*means, statistics.median(centers), 1000 * spent / len(examples))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--scenes", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--splits", nargs="+", default=list(SPLITS), choices=SPLITS)
    arguments = parser.parse_args()
    table = {}
    for split in arguments.splits:
        examples = draw_examples(split, arguments.seed, arguments.scenes)
        prepare(examples[0].depth_map, STREET)
        start = time.process_time()
        observed = [prepare(example.depth_map, STREET) for example in examples]
        prepared = 1000 * (time.process_time() - start) / len(examples)
        table[split] = rows(examples, observed)
        print(f"\n{split}: {arguments.scenes} scenes of seed {arguments.seed}; points in {prepared:.1f} ms a map")
        print(f"{'':18}" + "".join(f"{name:>12}" for name in COLUMNS))
        for name, figures_of in table[split].items():
            print(f"{name:18}" + "".join(f"{figures_of[column]:12.3f}" for column in COLUMNS), flush=True)
    if arguments.out:
        arguments.out.write_text(json.dumps(table, indent=1))


if __name__ == "__main__":
    main()
