"""A run from one photo: the files it leaves, what comes back from them, and every input that is refused."""

import dataclasses
import hashlib
import json
import math
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fieldscape.cli import run
from fieldscape.errors import BadInput
from fieldscape.scenes import read_scene
from fieldscape.systems.gan.options import InvertOptions
from fieldscape.systems.gan.photo.make import from_photo, read_photo
from fieldscape.systems.gan.photo.scene import DOLLY, YAW, flight, rebuild
from fieldscape.video import read_video

WIDTH, HEIGHT = 96, 72


def picture(folder: Path, name: str = "room.png", orientation: int | None = None) -> Path:
    """A gray wall with a dark frame over a brown floor."""
    pixels = np.full((HEIGHT, WIDTH, 3), 190, np.uint8)
    pixels[50:] = (120, 80, 50)
    pixels[15:35, 30:34] = pixels[15:35, 60:64] = pixels[15:19, 30:64] = 40
    image = Image.fromarray(pixels)
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    image.save(folder / name, exif=exif)
    return folder / name


def depth_map(folder: Path, values: np.ndarray | None = None) -> Path:
    if values is None:
        values = np.full((HEIGHT, WIDTH), 3.0)
        values[40:, 40:60] = 1.5
    np.save(folder / "depth.npy", values)
    return folder / "depth.npy"


def options(folder: Path, **changes: object) -> InvertOptions:
    plain = InvertOptions((picture(folder),), "box", out=folder / "run", frames=4, quiet=True)
    return dataclasses.replace(plain, **changes)


DRAW = """
import sys, hashlib, torch
from pathlib import Path
from fieldscape.scenes import read_scene
from fieldscape.systems.gan.photo.scene import rebuild
scene = rebuild(read_scene(Path(sys.argv[1])), torch.device("cpu"))
seen = scene.render(scene.cameras[2])
print(hashlib.sha256(seen.color.numpy().tobytes() + seen.depth.numpy().tobytes()).hexdigest())
"""


@pytest.mark.parametrize("engine", ["box", "depth"])
def test_a_run_holds_all_that_it_should_and_reloads_bit_for_bit(engine: str, tmp_path: Path, capsys) -> None:
    depth = {"depth": str(depth_map(tmp_path)), "engine": "depth"} if engine == "depth" else {}
    from_photo(options(tmp_path, **depth))
    folder = tmp_path / "run"
    names = {path.name for path in folder.iterdir()}
    assert names >= {"run.json", "scene.json", "scene.safetensors", "report.json", "fly-through.mp4", "sheet.png"}
    assert (engine == "box") == ({"box.png", "corners.json"} <= names)
    report = json.loads((folder / "report.json").read_text())
    assert report["engine"] == engine
    assert report["reconstruction_psnr"] > (35 if engine == "depth" else 28)
    assert 0 <= report["revealed"] < 0.5
    assert 0 < report["relief"] < 0.6
    frames = list(read_video(folder / "fly-through.mp4"))
    assert len(frames) == 4
    assert frames[0].shape == (HEIGHT, 2 * WIDTH, 3)
    assert "field of view" in capsys.readouterr().out
    scene = rebuild(read_scene(folder), torch.device("cpu"))
    assert scene.system == "gan"
    assert torch.allclose(scene.cameras[0].pose, scene.start.pose, atol=1e-6)
    seen = scene.render(scene.cameras[2])
    assert float(seen.alpha.mean()) > 0.99
    done = subprocess.run([sys.executable, "-c", DRAW, folder], capture_output=True, text=True, check=True)
    assert (
        done.stdout.strip() == hashlib.sha256(seen.color.numpy().tobytes() + seen.depth.numpy().tobytes()).hexdigest()
    )


def test_found_corners_given_back_make_the_same_room(tmp_path: Path) -> None:
    from_photo(options(tmp_path))
    first = json.loads((tmp_path / "run" / "corners.json").read_text())
    from_photo(options(tmp_path, out=tmp_path / "again", corners=tmp_path / "run" / "corners.json"))
    second = json.loads((tmp_path / "again" / "corners.json").read_text())
    assert np.allclose(first["corners"], second["corners"], atol=0.3)
    assert json.loads((tmp_path / "again" / "report.json").read_text())["room"] == "given by hand"


def test_a_photo_taken_sideways_is_turned_upright(tmp_path: Path) -> None:
    turned = picture(tmp_path, "turned.jpg", orientation=6)
    from_photo(options(tmp_path, paths=(turned,)))
    start = read_scene(tmp_path / "run").start
    assert (start.width, start.height) == (HEIGHT, WIDTH)


def test_the_flight_is_a_closed_loop_of_the_stated_size(tmp_path: Path) -> None:
    from_photo(options(tmp_path))
    start = read_scene(tmp_path / "run").start
    way = flight(start, 2.75, 10.0, 60)
    assert torch.allclose(way[0].pose, start.pose, atol=1e-6)
    steps = (way.position - way.position.roll(1, 0)).norm(dim=-1)
    assert float(steps.max()) < 3 * float(steps.median())  # from the last to the first as well
    turn = torch.rad2deg(torch.arccos((way.forward @ start.forward).clamp(-1, 1)))
    level = math.hypot(float(start.forward[0]), float(start.forward[1]))
    assert float(turn.max()) == pytest.approx(YAW * level, rel=0.03)
    pivot = start.position + 2.75 * start.forward
    nearest = (way.position - pivot).norm(dim=-1)
    assert float(nearest.max() - nearest.min()) == pytest.approx(DOLLY, abs=0.01)


def corners(folder: Path, record: object) -> Path:
    (folder / "corners.json").write_text(json.dumps(record))
    return folder / "corners.json"


def test_bad_photos_and_numbers_are_refused_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(picture(tmp_path).read_bytes()[:200])
    Image.new("RGB", (63, 200)).save(tmp_path / "tiny.png")
    cases: list[tuple[dict[str, object], str]] = [
        ({"paths": (tmp_path / "none.png",)}, "none.png"),
        ({"paths": (tmp_path / "broken.png",)}, "broken.png"),
        ({"paths": (tmp_path / "tiny.png",)}, "63 x 200"),
        ({"frames": 0}, "--frames"),
        ({"fps": math.nan}, "--fps"),
        ({"fov": 3.0}, "--fov"),
        ({"width": 10}, "--width"),
        ({"camera_height": -1.0}, "--camera-height"),
        ({"engine": "depth"}, "--depth"),
        ({"depth": "d.png"}, "--engine depth"),
        ({"corners": corners(tmp_path, [1, 2])}, "corners"),
    ]
    for changes, words in cases:
        with pytest.raises(BadInput, match=words):
            from_photo(options(tmp_path, **changes))
    assert not (tmp_path / "run").exists()


def test_bad_corners_are_refused(tmp_path: Path) -> None:
    good = [[20.0, 10.0], [70.0, 10.0], [70.0, 60.0], [20.0, 60.0]]
    cases = [
        ({"corners": good[:3]}, "four corners"),
        ({"corners": [good[0], good[2], good[1], good[3]]}, "cross"),
        ({"corners": [[-500.0, 10.0], *good[1:]]}, "outside"),
        ({"corners": good, "size": [10, 100]}, "shape"),
        ({"corners": [[float("nan"), 1.0], *good[1:]]}, "corners"),
        ({"corners": good, "vanishing_point": [1.0]}, "corners"),
        ({"corners": "all"}, "corners"),
        ({"corners": [[10**400, 10.0], *good[1:]]}, "corners"),
        ({"corners": [[20.0, 50.0], [70.0, 50.0], [70.0, 70.0], [20.0, 70.0]]}, "outside of the room"),
        ({"corners": good, "fov": 400}, "corners"),
    ]
    for record, words in cases:
        with pytest.raises(BadInput, match=words):
            from_photo(options(tmp_path, corners=corners(tmp_path, record)))


def test_bad_depth_maps_are_refused(tmp_path: Path) -> None:
    plain = np.load(depth_map(tmp_path))
    cases: list[tuple[np.ndarray, str]] = [
        (plain[:, :50], "50 x 72"),
        (plain * 1000, r"--depth-unit 0\.001"),
        (plain * 100, r"--depth-unit 0\.01"),
        (-plain, "empty"),
        (plain + 0j, "complex"),
        (np.float64(3.0), "one value"),
        (np.full_like(plain, 2.0), "every pixel"),
        (np.full_like(plain, np.nan), "not a number"),
        (np.zeros_like(plain), "empty"),
        (np.stack([plain, plain + 1], -1), "one number a pixel"),
    ]
    for values, words in cases:
        with pytest.raises(BadInput, match=words):
            from_photo(options(tmp_path, engine="depth", depth=str(depth_map(tmp_path, values))))
    whole = Image.fromarray((1000 * plain).astype(np.uint16))
    whole.save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:-20])
    with pytest.raises(BadInput, match="damaged"):
        from_photo(options(tmp_path, engine="depth", depth=str(tmp_path / "cut.png")))
    with pytest.raises(BadInput, match=r"--depth-unit 0\.001$"):
        from_photo(options(tmp_path, engine="depth", depth=str(tmp_path / "whole.png"), depth_unit=1e-6))
    (tmp_path / "bad.npy").write_bytes(b"\x93NUMPY nothing")
    (tmp_path / "eight.png").write_bytes(b"")
    Image.fromarray(np.full((HEIGHT, WIDTH), 9, np.uint8)).save(tmp_path / "eight.png")
    for name, words in (("bad.npy", "damaged"), ("eight.png", "8 bits"), ("none.png", "none.png")):
        with pytest.raises(BadInput, match=words):
            from_photo(options(tmp_path, engine="depth", depth=str(tmp_path / name)))


def test_an_array_of_objects_is_never_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "object.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(BadInput, match="not a NumPy array of numbers"):
        from_photo(options(tmp_path, engine="depth", depth=str(tmp_path / "object.npy")))


def test_an_array_that_claims_more_than_its_file_holds_takes_no_memory(tmp_path: Path) -> None:
    np.save(tmp_path / "small.npy", np.ones((10, 10), np.float32))
    for claim in (b"(1000000, 1000000), }", b"(-4, 100), }", b"(10, 10, 10), }"):
        told = b"{'descr': '<f4', 'fortran_order': False, 'shape': " + claim
        header = b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little") + told.ljust(117) + b"\n"
        (tmp_path / "claim.npy").write_bytes(header + bytes(400))
        with pytest.raises(BadInput, match="damaged"):
            from_photo(options(tmp_path, engine="depth", depth=str(tmp_path / "claim.npy")))


def test_through_the_command_line_each_bad_photo_is_one_sentence_and_status_2(tmp_path: Path, capsys) -> None:
    plain = Image.open(picture(tmp_path))
    plain.resize((400, 80)).save(tmp_path / "panorama.png")
    plain.resize((64, 300)).save(tmp_path / "strip.png")
    plain.resize((40, 30)).save(tmp_path / "small.png")
    plain.save(tmp_path / "whole.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:-200])
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    (tmp_path / "claim.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk)
    cases = {"panorama": "400 x 80", "strip": "64 x 300", "small": "40 x 30", "claim": "claim.png"}
    for name, words in (*((f"{name}.png", words) for name, words in cases.items()), ("cut.jpg", "cut.jpg")):
        assert run(["gan", "invert", str(tmp_path / name), "--out", str(tmp_path / "run")]) == 2
        told = capsys.readouterr().err.strip()
        assert words in told
        assert len(told.splitlines()) == 1
        assert not (tmp_path / "run").exists()


def test_photos_of_every_usual_kind_are_read_as_colours(tmp_path: Path) -> None:
    plain = Image.open(picture(tmp_path))
    plain.convert("CMYK").save(tmp_path / "a.jpg")
    plain.quantize(64).save(tmp_path / "b.png")
    plain.save(tmp_path / "c.gif", save_all=True, append_images=[plain.rotate(180)])
    plain.convert("RGBA").save(tmp_path / "d.png")
    truth = np.asarray(plain).astype(float)
    for name in ("a.jpg", "b.png", "c.gif", "d.png"):
        assert np.abs(read_photo(tmp_path / name) - truth).mean() < 6, name
    gray = np.asarray(plain.convert("L"))
    Image.fromarray(gray.astype(np.uint16) * 257).save(tmp_path / "e.png")
    assert np.array_equal(read_photo(tmp_path / "e.png"), np.repeat(gray[..., None], 3, -1))
