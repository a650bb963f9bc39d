"""``fieldscape eval`` of a run of objects: each that its bank holds, on the views that were kept from training."""

from __future__ import annotations

import statistics
from pathlib import Path

from fieldscape.errors import BadInput
from fieldscape.evaluation import evaluate
from fieldscape.files import write_json
from fieldscape.images import write_image
from fieldscape.progress import progress
from fieldscape.runs import Run
from fieldscape.systems.latents import methods, scene
from fieldscape.systems.latents.bank import Bank
from fieldscape.systems.latents.config import LatentsConfig
from fieldscape.systems.latents.srn import find_objects, read_objects
from fieldscape.types import Rendered


def evaluate_objects(run: Run, data: Path, out: Path | None, quiet: bool) -> None:
    """Measure the objects in ``data`` that the run holds, print the means, and write each one's figures beside the run.

    out: a folder for the pictures, if any. Raises BadInput where the run holds none of them.
    """
    shared, _ = scene.read_shared(run.path)
    bank = Bank.open(run.path / scene.BANK, methods.fingerprint(shared))
    names = [name for name in find_objects(data) if name in bank]
    if not names:
        raise BadInput(f"{run.path} holds none of the objects in {data}: add them with fieldscape latents exploit.")
    objects = read_objects(data, run.config(LatentsConfig).read, names=names, quiet=quiet)
    figures = dict[str, dict[str, float]]()
    with progress(len(objects), "measuring", quiet, unit="object") as bar:
        for number, name in enumerate(objects.names):
            views = objects.views(number)

            def each(i: int, seen: Rendered, psnr: float, views=views) -> None:
                if out is not None:
                    folder, _, view = views.names[i].rpartition("/")
                    (out / folder).mkdir(parents=True, exist_ok=True)
                    write_image(out / folder / f"{view}.png", seen.color.clamp(0, 1))

            quality = evaluate(methods.opened(shared, bank.read(name).payload, name), views, each)
            figures[name] = {"psnr": quality.psnr, "ssim": quality.ssim, "views": quality.views}
            bar.update(number + 1, psnr=quality.psnr)
    psnr, ssim = (statistics.fmean(one[key] for one in figures.values()) for key in ("psnr", "ssim"))
    path = run.path / f"eval-{data.resolve().stem}.json"
    write_json(path, {"psnr": psnr, "ssim": ssim, "split": quality.split, "data": str(data), "objects": figures})
    print(f"PSNR {psnr:.2f} dB  SSIM {ssim:.3f}  means over {len(figures)} objects ({quality.split})")
    print(f"written to {path}")
