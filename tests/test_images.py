"""Stills: what comes back is what was stored, damage ends in one sentence, and pictures for people are readable."""

from __future__ import annotations

import io
import re
import resource
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from fieldscape.errors import BadInput
from fieldscape.images import (
    _depth_colors,
    colorize_depth,
    contact_sheet,
    read_image,
    read_size,
    to_uint8,
    write_image,
)

RGB = torch.arange(5 * 7 * 3, dtype=torch.uint8).reshape(5, 7, 3)


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds one scrap of data."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(100))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_png_comes_back_bit_for_bit(tmp_path: Path, channels: int) -> None:
    image = torch.randint(0, 256, (9, 5, channels), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    write_image(tmp_path / "a.png", image)
    assert torch.equal(read_image(tmp_path / "a.png"), image)
    assert read_size(tmp_path / "a.png") == (5, 9)
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_jpeg_comes_back_nearly(tmp_path: Path) -> None:
    x = torch.linspace(0, 1, 64)
    image = torch.stack([x.expand(48, 64), x.flip(0).expand(48, 64), torch.full((48, 64), 0.5)], -1)
    write_image(tmp_path / "a.JPG", image)
    assert (read_image(tmp_path / "a.JPG").float() / 255 - image).abs().max() < 0.03


def test_floats_are_clipped_and_rounded_and_bytes_pass() -> None:
    assert to_uint8(torch.tensor([-1.0, 0.4999 / 255, 0.5001 / 255, 2.0, float("nan")])).tolist() == [0, 0, 1, 255, 0]
    every = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_uint8(every.float() / 255), every)
    assert to_uint8(every) is every
    assert to_uint8(torch.tensor([1.0], dtype=torch.bfloat16, requires_grad=True)).tolist() == [255]


def test_a_grey_plane_is_written_as_one_channel(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", torch.full((4, 6), 0.2))
    assert read_image(tmp_path / "a.png").tolist() == torch.full((4, 6, 1), 51).tolist()


def test_sixteen_bits_are_scaled_to_eight(tmp_path: Path) -> None:
    values = np.array([[0, 128, 129, 257, 32768, 65406, 65407, 65535]], dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    expected = np.rint(values / 257).astype(int)  # the exact ratio 65535 / 255
    assert read_image(tmp_path / "a.png")[..., 0].tolist() == expected.tolist()
    big_endian = tmp_path / "a.pgm"
    big_endian.write_bytes(b"P5 8 1 65535\n" + values.astype(">u2").tobytes())
    assert read_image(big_endian)[..., 0].tolist() == expected.tolist()


def test_every_kind_of_pixel_becomes_grey_rgb_or_rgba(tmp_path: Path) -> None:
    source = Image.fromarray(RGB.numpy())
    saved = {
        "1": ("a.png", source.convert("1"), {}, 1),
        "L": ("b.png", source.convert("L"), {}, 1),
        "LA": ("c.png", source.convert("LA"), {}, 4),
        "P": ("d.png", source.quantize(200), {}, 3),
        "P with transparency": ("e.png", source.quantize(8), {"transparency": 0}, 4),
        "RGB with a transparent colour": ("f.png", source, {"transparency": (0, 1, 2)}, 4),
        "CMYK": ("g.jpg", source.convert("CMYK"), {}, 3),
        "CMYK tiff": ("h.tif", source.convert("CMYK"), {}, 3),
    }
    for what, (name, image, options, channels) in saved.items():
        image.save(tmp_path / name, **options)
        assert read_image(tmp_path / name).shape == (5, 7, channels), what
    assert read_image(tmp_path / "a.png").unique().tolist() in ([0, 255], [0])
    assert torch.equal(read_image(tmp_path / "f.png")[..., :3], RGB)
    assert read_image(tmp_path / "f.png")[..., 3].flatten().tolist() == [0] + [255] * 34
    assert (read_image(tmp_path / "h.tif").int() - RGB.int()).abs().max() <= 1
    palette = np.array(Image.open(tmp_path / "e.png"))
    assert torch.equal(read_image(tmp_path / "e.png")[..., 3] == 0, torch.from_numpy(palette == 0))


def test_of_an_animation_the_first_picture_is_read(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (6, 4), color) for color in ((255, 0, 0), (0, 255, 0))]
    for name in ("a.gif", "a.tif", "phone.mpo"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
        assert (read_image(tmp_path / name)[0, 0] - torch.tensor([254, 0, 0])).abs().max() <= 1


@pytest.mark.parametrize("mode", ["F", "I"])
def test_values_without_a_range_are_refused(tmp_path: Path, mode: str) -> None:
    Image.new(mode, (3, 3)).save(tmp_path / "a.tif")
    with pytest.raises(BadInput, match="unknown range"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_only_on_request(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(RGB.numpy()).save(tmp_path / "a.png", exif=exif)
    assert torch.equal(read_image(tmp_path / "a.png"), RGB)
    with Image.open(tmp_path / "a.png") as image:
        expected = torch.from_numpy(np.array(ImageOps.exif_transpose(image)))
    assert torch.equal(read_image(tmp_path / "a.png", upright=True), expected)


def test_a_billion_pixels_are_refused_by_the_header(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png_header(100_000, 10_000))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_size(path) == (100_000, 10_000)
        # Had a single row been decoded, the complaint would be that the data end too early.
        with pytest.raises(BadInput, match=r"bomb.png claims 100000 x 10000 pixels"):
            read_image(path)
    write_image(tmp_path / "a.png", RGB)
    with pytest.raises(BadInput, match="more than the 34 allowed"):
        read_image(tmp_path / "a.png", max_pixels=34)
    assert read_image(tmp_path / "a.png", max_pixels=35).shape == (5, 7, 3)
    assert Image.MAX_IMAGE_PIXELS is not None  # other users of Pillow in the process keep their guard


def test_files_that_are_no_images_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "script.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n")
    for name, message in {
        "absent.png": "there is no image file",
        "empty.png": "0 bytes",
        "text.png": "not an image",
        "script.eps": "not an image",
        "": "there is no image file",
        "null\0.png": "there is no image file",
    }.items():
        with pytest.raises(BadInput, match=message):
            read_image(tmp_path / name)


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
def test_truncated_images_are_refused(tmp_path: Path, name: str, share: float) -> None:
    path = tmp_path / name
    write_image(path, torch.rand(40, 40, 3, generator=torch.Generator().manual_seed(0)))
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(BadInput, match=re.escape(str(path))):
        read_image(path)


def _samples() -> list[bytes]:
    """One small file of each format that is read."""
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (12, 10, 3), dtype=np.uint8))
    files = []
    for kind in ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "JPEG2000"):
        buffer = io.BytesIO()
        image.save(buffer, kind)
        files.append(buffer.getvalue())
    return files


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damaged_bytes_give_an_image_or_one_sentence(tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(data.draw(st.sampled_from(_samples())))
    flips = st.tuples(st.integers(0, len(content) - 1) | st.integers(0, 60), st.integers(0, 255))
    for position, value in data.draw(st.lists(flips, min_size=1, max_size=6)):
        content[position] = value
    path = tmp_path / "damaged"
    path.write_bytes(bytes(content[: data.draw(st.integers(1, len(content)))]))
    sentence = str(path)
    try:
        assert read_image(path, max_pixels=10_000, upright=True).shape[-1] in (1, 3, 4)
    except BadInput as error:
        sentence = str(error)
    assert str(path) in sentence
    assert "\n" not in sentence


def test_writing_refuses_what_cannot_be_written(tmp_path: Path) -> None:
    image = torch.zeros(4, 4, 3)
    (tmp_path / "folder.png").mkdir()
    for name, message in {"a.bmp2": "ends in .png", "absent/a.png": "No such file", "folder.png": "folder.png"}.items():
        with pytest.raises(BadInput, match=message):
            write_image(tmp_path / name, image)
    with pytest.raises(BadInput, match="no transparency"):
        write_image(tmp_path / "a.jpg", torch.zeros(4, 4, 4))
    for shape in ((4, 4, 2), (0, 4, 3), (4, 4, 4, 3)):
        with pytest.raises(ValueError, match="an image is"):
            write_image(tmp_path / "a.png", torch.zeros(shape))
    assert [p.name for p in tmp_path.iterdir()] == ["folder.png"]


def test_a_full_disk_leaves_the_old_image(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    write_image(path, RGB)
    noise = torch.rand(200, 200, 3)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))  # writing more fails, as on a full disk
    try:
        with pytest.raises(BadInput, match=re.escape(f"Cannot write {path}")):
            write_image(path, noise)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert torch.equal(read_image(path), RGB)
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_near_is_warm_and_bright_far_is_blue_and_unknown_is_grey() -> None:
    depth = torch.tensor([[1.0, 2.0, 3.0, 0.0, float("nan"), float("inf")]])
    near, middle, far, *unknown = colorize_depth(depth)[0]
    assert near[0] > 0.8 > near[2]
    assert far[2] > 2 * far[0]
    assert near.mean() > middle.mean() > far.mean()
    assert all(color.tolist() == pytest.approx([0.2] * 3) for color in unknown)
    assert torch.equal(colorize_depth(depth[..., None]), colorize_depth(depth))


def test_depth_range_is_given_or_robust() -> None:
    depth = torch.linspace(1, 2, 10_000).reshape(100, 100)
    stray = depth.clone()
    stray[0, 0], stray[50, 50] = 0.001, 1e6
    change = (colorize_depth(stray) - colorize_depth(depth)).abs()
    change[0, 0] = change[50, 50] = 0
    assert change.max() < 0.05
    clipped = colorize_depth(depth, 1.5, 1.6)
    assert torch.equal(clipped[0, 0], _depth_colors()[0])
    assert torch.equal(clipped[-1, -1], _depth_colors()[-1])
    assert torch.equal(colorize_depth(torch.full((2, 2), 3.0))[0, 0], _depth_colors()[0])
    assert colorize_depth(torch.zeros(2, 3)).shape == (2, 3, 3)
    with pytest.raises(BadInput, match=r"near .* must be below far"):
        colorize_depth(depth, 2.0, 1.0)


def test_depth_colours_fall_steadily_in_lightness() -> None:
    colors = _depth_colors()
    linear = torch.where(colors <= 0.04045, colors / 12.92, ((colors + 0.055) / 1.055) ** 2.4)
    luminance = linear @ torch.tensor([0.2126, 0.7152, 0.0722])
    assert (luminance.diff() < 0).all()
    assert ((colors > 0) & (colors <= 1)).all()
    assert (colors.diff(dim=0).norm(dim=-1)).max() < 0.03  # no visible bands


def test_contact_sheet_places_images_under_their_titles() -> None:
    red, green = torch.tensor([1.0, 0, 0]).expand(200, 300, 3), torch.tensor([0, 1.0, 0]).expand(200, 300, 3)
    bare = contact_sheet([[red, green], [green]])
    assert bare.dtype == torch.uint8
    count = {
        name: int((bare == torch.tensor(color)).all(-1).sum())
        for name, color in {"red": [255, 0, 0], "green": [0, 255, 0]}.items()
    }
    assert count == {"red": 200 * 300, "green": 2 * 200 * 300}
    first = (bare == torch.tensor([255, 0, 0])).all(-1).nonzero()
    titled = contact_sheet([[red, green], [green]], ["view 1\n20 dB", "view 2"], ["truth", "render"])
    moved = (titled == torch.tensor([255, 0, 0])).all(-1).nonzero()
    left, top = int(moved[0, 1] - first[0, 1]), int(moved[0, 0] - first[0, 0])
    assert left > 30
    assert top > 15
    assert (titled[:top, left:].float().mean(-1) < 128).sum() > 50  # ink of the column titles
    assert (titled[top:, :left].float().mean(-1) < 128).sum() > 50  # ink of the row titles


def test_contact_sheet_takes_any_image_and_enlarges_small_ones() -> None:
    half = torch.tensor([0.0, 0.0, 0.0, 0.0]).expand(8, 8, 4)
    grey = torch.full((8, 8, 1), 128, dtype=torch.uint8)
    sheet = contact_sheet([[half, grey]], dark=True)
    assert sheet.shape[0] >= 160
    assert int((sheet == 128).all(-1).sum()) == 160 * 160
    assert sheet[80, 80].tolist() == [20, 20, 20]  # transparency shows the paper
    long = contact_sheet([[grey]], column_titles=["a title that is much longer than the picture is wide"])
    assert long.shape[1] < 200
    with pytest.raises(BadInput, match="at least one image"):
        contact_sheet([[], []])
    with pytest.raises(ValueError, match="contact sheet is"):
        contact_sheet([[torch.zeros(4, 4, 2)]])
