"""Structure from motion by pycolmap: a program of its own, started by ``photos``.

It is a separate process, and imports nothing but numpy and pycolmap, for three reasons: pycolmap's native libraries and
Pillow's corrupt each other's memory when loaded together; a crash in native code must not take the caller along; and
its log must not reach the terminal. It ends when its standard input closes, so it never outlives its caller.

Standard input: one line of JSON, the job (see ``main``). Standard output: pycolmap's log, and lines that start with
``EVENT`` and hold JSON: {"stage", "total"}, {"done"}, and at last {"result"} or {"failure"}.

Steps: SIFT features, matches of pairs, incremental mapping (Schoenberger and Frahm, "Structure-from-Motion Revisited",
2016), and a check of the model against *all* matches, not only those that it used: see ``contradicting_groups``.
"""

from __future__ import annotations

import copy
import json
import os
import shutil
import sys
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fieldscape.data.contradictions import MIN_MATCHES, contradicting_groups, epipolar_error

EVENT = "@fieldscape "

ENOUGH = 0.8
"""Share of the photos that must be placed before a try counts as good."""

ALL_PAIRS = 80
"""Up to so many photos every pair is compared; beyond, neighbours in order of name and pairs of ``KEY`` photos."""

KEY = 40
RETRY_ALL_PAIRS = 250
"""Up to so many photos, the last try compares every pair after all."""

MAX_START_SECONDS = 60.0
"""For finding two photos to start from. It takes a second where there are such, and an hour where there are none."""

REPAIRS = 3
"""Rounds of mapping again without the joints that contradict more matches than they explain."""

FEWEST_FOR_CENTER = 8
"""Photos of one camera from which its principal point can be told."""

MAX_ASKEW = 0.05
"""Share of the image's side by which a principal point may be off the middle."""

HOPELESS = 0.7
"""With a smaller share of agreeing matches there is no sound part that could be kept."""

SEED = 0


@dataclass(frozen=True)
class Effort:
    """How hard to try.

    words: for the report.  size: longer side in pixels at which features are sought.  affine: features that last
    through larger changes of view, and matches sought along epipolar lines.  lax: photos are placed on weaker evidence,
    fewer inliers and less parallax.  moving: matches that stay at the same pixel are left out.
    """

    words: str
    size: int = 1600
    features: int = 4096
    peak: float = 0.0067
    affine: bool = False
    lax: bool = False
    moving: bool = False


USUAL = Effort("usual settings")
TURNTABLE = Effort("what stays at the same pixel left out (as for a turntable before a fixed background)", moving=True)
LAX = Effort("weaker evidence accepted (15 inliers, parallax from 0.5 degrees)", lax=True)
THOROUGH = Effort("8192 fainter, affine features at 2400 px", 2400, 8192, 0.003, affine=True, lax=True)


def main() -> None:
    """Job: folder and names of the photos, ``shared`` (one camera took all), ``all_pairs`` (see ``ALL_PAIRS``), work (a
    folder to use up), out (an empty folder for the model, in COLMAP's binary files), threads."""
    job = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_caller, daemon=True).start()
    count = len(job["names"])
    tries = attempt(job, USUAL)
    if not any(each.groups == 1 for each in tries):
        tries += attempt(job, TURNTABLE)
    for effort in (LAX, THOROUGH):
        best = max(tries, key=Try.rank, default=None)
        if best is not None and best.groups == 1 and best.placed >= ENOUGH * count:
            break
        if best is None and effort is THOROUGH and mostly_flat(_database(job, USUAL)):
            break  # more features from the same place do not show depth either
        tries += attempt(job, replace(effort, moving=best is not None and best.effort.moving))
    best = max(tries, key=Try.rank, default=None)
    if best is None:
        send(failure=why_nothing(_database(job, USUAL), count))
        return
    best = replace(best, model=centered(best.model, job["threads"]) if job["shared"] else best.model)
    best.model.write_binary(job["out"])
    send(result={**summary(best, len(tries)), "flat": mostly_flat(_database(job, best.effort))})


def attempt(job: dict[str, Any], effort: Effort) -> list[Try]:
    """The models that come out of one effort; features and matches are kept for the next that wants the same."""
    database = _database(job, effort)
    if not database.exists():
        plain = _database(job, replace(effort, moving=False))
        if not plain.exists():
            extract(job, effort, plain)
            match(job, effort, plain)
        if effort.moving:
            shutil.copyfile(plain, database)
            forget_geometries(database)
            match(job, effort, database)
    return mapped(job, effort, database)


def _database(job: dict[str, Any], effort: Effort) -> Path:
    return Path(job["work"]) / f"{effort.size}-{effort.features}-{effort.moving:d}.db"


def forget_geometries(database: Path) -> None:
    """Keep the features and raw matches of a database, so that pairs are verified anew."""
    import pycolmap

    connection = pycolmap.Database.open(str(database))
    connection.clear_two_view_geometries()
    connection.close()


def _end_with_caller() -> None:
    sys.stdin.read()
    os._exit(3)


def send(**event: Any) -> None:
    # On a line of its own even if the log is in the middle of one.
    sys.stdout.write(f"\n{EVENT}{json.dumps(event)}\n")
    sys.stdout.flush()


def extract(job: dict[str, Any], effort: Effort, database: Path) -> None:
    """SIFT features of all photos. The focal length starts from EXIF, or else at 1.2 times the longer side."""
    import pycolmap

    send(stage="features", total=len(job["names"]))
    options = pycolmap.FeatureExtractionOptions()
    options.num_threads, options.max_image_size, options.use_gpu = job["threads"], effort.size, False
    options.sift.max_num_features = effort.features
    options.sift.estimate_affine_shape = effort.affine
    options.sift.peak_threshold = effort.peak
    reader = pycolmap.ImageReaderOptions()
    # Square pixels, two radial terms: more coefficients follow the noise where the parallax is small. A camera that
    # took one photo only gets one term.
    reader.camera_model = "RADIAL" if job["shared"] else "SIMPLE_RADIAL"
    mode = pycolmap.CameraMode.SINGLE if job["shared"] else pycolmap.CameraMode.AUTO
    pycolmap.extract_features(str(database), job["folder"], job["names"], mode, reader, options, pycolmap.Device.cpu)


def match(job: dict[str, Any], effort: Effort, database: Path) -> None:
    """Matches of pairs that agree with one motion of the camera. Which pairs: see ``ALL_PAIRS``."""
    import pycolmap

    count = len(job["names"])
    send(stage="matches", total=count)
    options, verification = pycolmap.FeatureMatchingOptions(), pycolmap.TwoViewGeometryOptions()
    options.num_threads, options.use_gpu, options.guided_matching = job["threads"], False, effort.affine
    verification.ransac.random_seed, verification.filter_stationary_matches = SEED, effort.moving
    if count <= (max(RETRY_ALL_PAIRS, job["all_pairs"]) if effort.affine else job["all_pairs"]):
        pairing = pycolmap.ExhaustivePairingOptions()
        pairing.block_size = max(2, count // 8)  # blocks are what the log reports
        pycolmap.match_exhaustive(str(database), options, pairing, verification, pycolmap.Device.cpu)
        return
    neighbours = pycolmap.SequentialPairingOptions()
    neighbours.overlap, neighbours.quadratic_overlap, neighbours.loop_detection = 10, True, False
    pycolmap.match_sequential(str(database), options, neighbours, verification, pycolmap.Device.cpu)
    # Loops are closed without a vocabulary: every pair of some photos spread over the whole. The list of pairs cannot
    # hold names with spaces; such photos have the pairs above, which double their distance up to the whole length.
    keys = [name for name in job["names"][:: -(-count // KEY)] if not any(letter.isspace() for letter in name)]
    pairs = database.with_suffix(".pairs")
    pairs.write_text("".join(f"{a} {b}\n" for i, a in enumerate(keys) for b in keys[i + 1 :]))
    listed = pycolmap.ImportedPairingOptions()
    listed.match_list_path = str(pairs)
    pycolmap.match_image_pairs(str(database), options, listed, verification, pycolmap.Device.cpu)


@dataclass(frozen=True)
class Try:
    """One model and how it fares. explained: matches that agree with it.  matched: all matches between its photos."""

    model: Any
    effort: Effort
    placed: int
    explained: int
    matched: int
    groups: int
    repairs: int

    def rank(self) -> tuple[bool, int, float]:
        """A model that contradicts itself is worse than any that does not."""
        return self.groups == 1, self.placed, self.agreed

    @property
    def agreed(self) -> float:
        return self.explained / max(1, self.matched)


def mapped(job: dict[str, Any], effort: Effort, database: Path) -> list[Try]:
    """The largest model of each round; in each further one, false joints of the model before are taken out first."""
    import pycolmap

    tries: list[Try] = []
    folder = database.with_suffix(".models")
    for repair in range(REPAIRS + 1):
        send(stage="cameras", total=len(job["names"]))
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        done = [1]

        def one_more(done: list[int] = done) -> None:
            done[0] += 1
            send(done=done[0])

        token = pycolmap.CancellationToken()
        start = threading.Timer(MAX_START_SECONDS, token.cancel)
        start.start()
        models = pycolmap.incremental_mapping(
            str(database), job["folder"], str(folder), mapping_options(job["threads"], effort.lax),
            initial_image_pair_callback=start.cancel, next_image_callback=one_more, cancellation_token=token,
        )  # fmt: skip
        start.cancel()
        if not models:
            return tries
        model = max(models.values(), key=lambda each: (each.num_reg_images(), each.num_points3D()))
        pairs = agreement(database, model)
        groups = contradicting_groups([(a, b, 2.0 * good - n) for a, b, n, good in pairs])
        explained, matched = sum(pair[3] for pair in pairs), sum(pair[2] for pair in pairs)
        tries.append(Try(model, effort, model.num_reg_images(), explained, matched, max(1, len(groups)), repair))
        if len(groups) <= 1 or tries[-1].agreed < HOPELESS:
            break
        of = {photo: index for index, group in enumerate(groups) for photo in group}
        connection = pycolmap.Database.open(str(database))
        for a, b, n, good in pairs:
            if of[a] != of[b] and 2 * good > n:
                connection.delete_two_view_geometry(a, b)
        connection.close()
    return tries


def mapping_options(threads: int, lax: bool) -> Any:
    import pycolmap

    pycolmap.set_random_seed(SEED)
    options = pycolmap.IncrementalPipelineOptions()
    options.num_threads, options.random_seed = threads, SEED
    options.min_model_size, options.extract_colors = 3, False
    # Placing photos without surface points joins parts at a guessed scale.
    options.structure_less_registration_fallback = False
    if lax:
        options.mapper.init_min_tri_angle, options.mapper.init_min_num_inliers = 4.0, 50
        options.mapper.abs_pose_min_num_inliers, options.mapper.abs_pose_min_inlier_ratio = 15, 0.1
        options.mapper.ba_local_min_tri_angle = 2.0
        options.mapper.filter_min_tri_angle, options.triangulation.min_angle = 0.5, 0.5
        options.triangulation.ignore_two_view_tracks = False
    return options


def agreement(database: Path, model: Any) -> list[tuple[int, int, int, int]]:
    """For each pair of placed photos: their numbers, how many matches they have, and how many agree with the model.

    A match agrees where its distance to the epipolar geometry (Sampson's, in pixels) is within the limit that the
    matches themselves had to keep when the pair was verified alone.
    """
    import pycolmap

    connection = pycolmap.Database.open(str(database))
    numbers, geometries = connection.read_two_view_geometries()
    views: dict[int, tuple[np.ndarray, np.ndarray, float]] = {}
    for number, image in model.images.items():
        if image.has_pose:
            camera = model.cameras[image.camera_id]
            pixels = np.asarray(connection.read_keypoints(number), np.float64)[:, :2]
            views[number] = (camera.cam_from_img(pixels), image.cam_from_world().matrix(), camera.mean_focal_length())
    connection.close()
    pairs = []
    for number, geometry in zip(numbers, geometries):
        a, b = pycolmap.pair_id_to_image_pair(number)
        matches = np.asarray(geometry.inlier_matches)
        if a in views and b in views and len(matches) >= MIN_MATCHES:
            error = epipolar_error(views[a][0][matches[:, 0]], views[b][0][matches[:, 1]], views[a][1], views[b][1])
            pairs.append((a, b, len(matches), int((error * views[a][2] < 4.0).sum())))
    return pairs


def centered(model: Any, threads: int) -> Any:
    """The model with its principal point refined together with all else, where that is sound.

    Mapping keeps it at the middle of the image, as it is hardly known from few photos; from many it is, and then poses
    are truer for it. It is left at the middle where it would move further than a real lens sits askew.
    """
    import pycolmap

    if model.num_reg_images() < FEWEST_FOR_CENTER:
        return model
    send(stage="refinement", total=model.num_reg_images())
    refined = copy.deepcopy(model)
    options = pycolmap.BundleAdjustmentOptions()
    options.refine_principal_point = True
    options.ceres.solver_options.num_threads = threads
    pycolmap.bundle_adjustment(refined, options)
    for camera in refined.cameras.values():
        moved = max(
            abs(camera.principal_point_x / camera.width - 0.5), abs(camera.principal_point_y / camera.height - 0.5)
        )
        if not moved < MAX_ASKEW:
            return model
    return refined


def summary(best: Try, tries: int) -> dict[str, Any]:
    """What the caller reports."""
    model = best.model
    return {
        "placed": sorted(image.name for image in model.images.values() if image.has_pose),
        "points": model.num_points3D(),
        "error": model.compute_mean_reprojection_error(),
        "parallax": parallax(model),
        "agreed": best.agreed,
        "groups": best.groups,
        "repairs": best.repairs,
        "effort": best.effort.words,
        "tries": tries,
    }


def parallax(model: Any) -> float:
    """The median over the surface points of the widest angle between two rays to it, in degrees (2,000 points)."""
    centers = {n: image.projection_center() for n, image in model.images.items() if image.has_pose}
    points = list(model.points3D.values())
    widest = []
    for point in points[:: max(1, len(points) // 2000)]:
        rays = np.array([centers[element.image_id] for element in point.track.elements[:30]]) - point.xyz
        rays /= np.linalg.norm(rays, axis=1, keepdims=True)
        widest.append(np.degrees(np.arccos(np.clip((rays @ rays.T).min(), -1, 1))))
    return float(np.median(widest)) if widest else 0.0


def fitting_pairs(database: Path) -> list[Any]:
    """The geometries of the pairs with enough matches."""
    import pycolmap

    connection = pycolmap.Database.open(str(database))
    _, geometries = connection.read_two_view_geometries()
    connection.close()
    return [geometry for geometry in geometries if len(geometry.inlier_matches) >= MIN_MATCHES]


def mostly_flat(database: Path) -> bool:
    """Whether most pairs are explained by a homography: no parallax, as from a camera that only turned."""
    import pycolmap

    kinds = pycolmap.TwoViewGeometryConfiguration
    fitting = fitting_pairs(database)
    return sum(each.config in (kinds.PANORAMIC, kinds.PLANAR_OR_PANORAMIC) for each in fitting) > len(fitting) / 2


def why_nothing(database: Path, count: int) -> str:
    """What most probably went wrong, and what to do, where no model came out."""
    import pycolmap

    connection = pycolmap.Database.open(str(database))
    features = connection.num_keypoints()
    connection.close()
    fitting = fitting_pairs(database)
    if features < 100 * count:
        return (
            f"the photos show too little detail ({features // max(1, count)} features a photo). Take sharp photos of"
            " things with texture"
        )
    if not fitting:
        return "no two photos show the same things. Take photos that overlap by two thirds"
    if mostly_flat(database):
        return (
            "the photos seem to be taken from one place, the camera only turned. Step aside between photos: depth can"
            " be seen only from several places"
        )
    return (
        f"too few photos overlap enough ({len(fitting)} pairs of {count} photos match). Take more photos,"
        " each overlapping the next by two thirds, stepping aside between them"
    )


if __name__ == "__main__":
    main()
