"""``fieldscape latents cost``: what the objects of a run cost, or those of a file of measured costs, or the paper's."""

from __future__ import annotations

from pathlib import Path

from fieldscape.errors import BadInput
from fieldscape.files import read_json, write_json
from fieldscape.runs import Run
from fieldscape.systems.latents.cost import Costs
from fieldscape.systems.latents.cost_options import CostOptions
from fieldscape.systems.latents.cost_profiles import Profile, decoder_bytes, paper_profile, plane_bytes, read_profile
from fieldscape.systems.latents.cost_report import figures_of, report_of
from fieldscape.systems.latents.planes.config import RGB

BASELINE = "RGB tri-planes"


def cost(options: CostOptions) -> None:
    """Print the costs, and write them where asked. Raises BadInput for a run or file that cannot be read."""
    if (options.run is None) == (options.profile is None):
        raise BadInput("Give a run (or a file of costs), or --profile paper.")
    profile = chosen(options)
    print(report_of(profile, options.n))
    if options.json is not None:
        write_json(options.json, figures_of(profile, options.n))
        print(f"written to {options.json}")


def chosen(options: CostOptions) -> Profile:
    """The costs that were asked for."""
    if options.profile == "paper":
        return paper_profile()
    if options.profile is not None:
        return read_profile(Path(options.profile))
    if options.run is not None and (options.run / "run.json").exists():
        return run_profile(options.run)
    return read_profile(Path(options.run or ""))


def run_profile(folder: Path) -> Profile:
    """The costs of a run's objects, beside tri-planes of colours that share nothing (their time is not measured here).

    Raises BadInput where the run is not finished.
    """
    from fieldscape.systems.latents import methods, scene  # what the paper's figures do not need

    run = Run.open(folder)
    shared, _ = scene.read_shared(folder)
    if not (folder / "report.json").exists():
        raise BadInput(f"{folder} is not finished: go on with fieldscape latents train, --resume.")
    told = read_json(folder / "report.json")
    try:
        own, seconds = round(float(told["bytes"])), told.get("seconds")
        learning, objects, psnr = float(told["shared_seconds"]), int(told["objects"]), float(told["psnr"])
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(f"{folder / 'report.json'} lacks the figures of its objects: finish the run again.") from error
    name = str(run.record["config"].get("method", "this run"))
    mine = Costs(
        name,
        {"what is shared": methods.size(shared)},
        {"an object": own},
        learning,
        None if seconds is None else float(seconds),
        0 if seconds is not None else objects,
        psnr,
    )
    plain = Costs(BASELINE, {}, {"planes": plane_bytes(RGB.own, RGB.side), "network": decoder_bytes(RGB.own, 3)}, None)
    return Profile((plain, mine), BASELINE, (), str(folder))
