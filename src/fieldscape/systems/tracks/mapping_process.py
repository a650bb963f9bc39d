"""Structure from motion by pycolmap on tracks and matches that are given: a program of its own, started by ``mapping``.

It imports nothing but numpy and pycolmap, as pycolmap's native libraries and Pillow's corrupt each other's memory when
loaded together, and a crash in native code must not take the caller along. It ends when its standard input closes.

Global mapping (Pan, Barath, Pollefeys and Schoenberger, "Global structure-from-motion revisited", 2024) first, which
places all frames at once; incremental mapping (Schoenberger and Frahm, 2016) where that finds too little. One pinhole
for all frames, its middle at the middle of the picture.

Standard input: one line of JSON {"job": a file, "out": a file, "work": a folder, "threads", "seed", "seconds" (of the
processor, after which the system ends it)}. The job and the
result are ``.npz`` archives of plain arrays; see ``read_job`` and ``write_model``.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np

ENOUGH = 0.8
"""Share of the frames that global mapping must place, else incremental mapping is tried too."""

FEWEST_POINTS = 100


def main() -> None:
    task = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_caller, daemon=True).start()
    limit(task["seconds"])
    import pycolmap

    pycolmap.set_random_seed(task["seed"])
    work = Path(task["work"])
    database = work / "tracks.db"
    with np.load(task["job"], allow_pickle=False) as arrays:
        job = {name: arrays[name] for name in arrays.files}
    pairs = filled(database, job)
    options = pycolmap.TwoViewGeometryOptions()
    options.ransac.random_seed = task["seed"]
    pycolmap.verify_matches(str(database), str(pairs), options)
    model = best(globally(database, work, task["threads"], task["seed"]), len(job["counts"]))
    if model is None or model.num_reg_images() < ENOUGH * len(job["counts"]):
        other = best(one_by_one(database, work, task["threads"], task["seed"], job), len(job["counts"]))
        model = max((each for each in (model, other) if each is not None), key=worth, default=None)
    if model is not None:
        write_model(Path(task["out"]), model, len(job["counts"]))
    # Its libraries may crash while they are unloaded, after all is done.
    sys.stdout.flush()
    os._exit(0)


def limit(seconds: float) -> None:
    """Processor time, not the clock's: a busy machine must not change what is found."""
    try:
        import resource
    except ImportError:  # Windows; the caller's limit by the clock remains
        return
    whole = max(1, round(seconds))
    resource.setrlimit(resource.RLIMIT_CPU, (whole, whole + 1))


def _end_with_caller() -> None:
    sys.stdin.read()
    os._exit(3)


def filled(database: Path, job: dict[str, np.ndarray]) -> Path:
    """Writes the database of a job, and returns the file that lists its pairs.

    Job: size [2], focal [], counts [k] (keypoints of each frame), keypoints [sum, 2], pairs [p, 2] (frames), matched
    [p] (matches of each pair), matches [sum, 2] (keypoints within the two frames).
    """
    import pycolmap

    connection = pycolmap.Database.open(str(database))
    width, height = (int(side) for side in job["size"])
    lens = pycolmap.Camera(
        model="SIMPLE_PINHOLE", width=width, height=height, params=[float(job["focal"]), width / 2, height / 2]
    )
    lens.has_prior_focal_length = True
    lens.camera_id = connection.write_camera(lens)
    rig = pycolmap.Rig()
    rig.add_ref_sensor(lens.sensor_id)
    rig.rig_id = connection.write_rig(rig)
    numbers = []
    ends = np.cumsum(job["counts"])
    for i, end in enumerate(ends):
        image = pycolmap.Image(name=f"{i:06}", camera_id=lens.camera_id)
        image.image_id = connection.write_image(image)
        frame = pycolmap.Frame()
        frame.rig_id = rig.rig_id
        frame.add_data_id(image.data_id)
        frame.frame_id = connection.write_frame(frame)
        numbers.append(image.image_id)
        places = job["keypoints"][end - job["counts"][i] : end]
        connection.write_keypoints(image.image_id, np.ascontiguousarray(places, np.float32))
    ends = np.cumsum(job["matched"])
    lines = []
    for (a, b), count, end in zip(job["pairs"], job["matched"], ends):
        connection.write_matches(numbers[a], numbers[b], job["matches"][end - count : end].astype(np.uint32))
        lines.append(f"{a:06} {b:06}\n")
    connection.close()
    listed = database.with_suffix(".pairs")
    listed.write_text("".join(lines))
    return listed


def globally(database: Path, work: Path, threads: int, seed: int) -> list[Any]:
    import pycolmap

    options = pycolmap.GlobalPipelineOptions()
    options.num_threads, options.random_seed = threads, seed
    mapper = options.mapper
    mapper.num_threads, mapper.random_seed, mapper.ba_num_iterations = threads, seed, 2
    mapper.bundle_adjustment.ceres.solver_options.max_num_iterations = 60
    mapper.min_tri_angle_deg = 0.5
    mapper.skip_retriangulation = True
    folder = work / "global"
    folder.mkdir()
    return list(pycolmap.global_mapping(str(database), str(work), str(folder), options).values())


def one_by_one(database: Path, work: Path, threads: int, seed: int, job: dict[str, np.ndarray]) -> list[Any]:
    import pycolmap

    options = pycolmap.IncrementalPipelineOptions()
    options.num_threads, options.random_seed = threads, seed
    options.min_model_size, options.extract_colors, options.multiple_models = 3, False, False
    width = float(job["size"].max())
    options.min_focal_length_ratio, options.max_focal_length_ratio = 0.5, 3.0
    options.mapper.init_min_tri_angle, options.mapper.init_min_num_inliers = 2.0, 50
    options.mapper.init_max_error = options.mapper.abs_pose_max_error = max(4.0, 0.005 * width)
    options.mapper.filter_min_tri_angle, options.triangulation.min_angle = 0.5, 0.5
    folder = work / "incremental"
    folder.mkdir()
    return list(pycolmap.incremental_mapping(str(database), str(work), str(folder), options).values())


def worth(model: Any) -> tuple[int, int]:
    return model.num_reg_images(), model.num_points3D()


def best(models: list[Any], frames: int) -> Any:
    """The largest model with enough points, if any."""
    good = [model for model in models if model.num_points3D() >= FEWEST_POINTS and model.num_reg_images() >= 3]
    return max(good, key=worth, default=None)


def write_model(path: Path, model: Any, frames: int) -> None:
    """placed [k] bool, pose [k, 3, 4] (world to camera), focal [], points [n, 3], and the sightings the model is made
    of: frame, keypoint, point [m]."""
    placed, pose = np.zeros(frames, bool), np.zeros((frames, 3, 4))
    number = {}
    for index, image in model.images.items():
        if image.has_pose:
            k = int(image.name)
            placed[k], pose[k], number[index] = True, image.cam_from_world().matrix(), k
    points: list[np.ndarray] = []
    frame: list[int] = []
    keypoint: list[int] = []
    point: list[int] = []
    for one in model.points3D.values():
        for element in one.track.elements:
            frame.append(number[element.image_id])
            keypoint.append(element.point2D_idx)
            point.append(len(points))
        points.append(one.xyz)
    camera = next(iter(model.cameras.values()))
    np.savez(
        path, placed=placed, pose=pose, focal=camera.mean_focal_length(), points=np.array(points),
        frame=np.array(frame), keypoint=np.array(keypoint), point=np.array(point),
    )  # fmt: skip


if __name__ == "__main__":
    main()
