"""Costs: the published figures come out, closed forms equal sums over scenes, and reports say what they mean."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldscape.errors import BadInput
from fieldscape.systems.latents.cost import Costs, Line, break_even, saved
from fieldscape.systems.latents.cost_profiles import Profile, paper_profile, read_profile, write_profile
from fieldscape.systems.latents.cost_report import figures_of, render_report, table

RGB, MICRO, PAPER = (costs.memory for costs in paper_profile().variants)


def test_the_published_memory_comes_out() -> None:
    assert RGB.marginal == 1_572_864
    assert PAPER.marginal == 491_520 + 204
    assert PAPER.shared == 83_653_863 * 4 + 54_067_200 + 9_748
    assert PAPER.effective(1000) == pytest.approx(880.4e3, abs=50)
    assert 100 * saved(PAPER.effective(1000), RGB.effective(1000)) == pytest.approx(44.02, abs=0.005)
    assert 100 * saved(PAPER.effective(40), RGB.effective(40)) == pytest.approx(-549, abs=0.1)
    assert break_even(PAPER, RGB) == 360
    assert break_even(MICRO, RGB) is None


def test_planes_alone_are_three_point_two_times_smaller() -> None:
    assert RGB.marginal / paper_profile().named("3Da-AE").own["micro planes"] == 3.2


def test_the_published_time_comes_out() -> None:
    rgb, _, paper = paper_profile().variants
    assert rgb.time is not None
    assert paper.time is not None
    assert 100 * saved(paper.time.effective(1000), rgb.time.effective(1000)) == pytest.approx(86.07, abs=0.005)
    assert paper.pays_in_time(rgb) == "not known"  # how much of it is shared was not published


@settings(max_examples=200, deadline=None)
@given(st.tuples(*[st.integers(0, 30), st.integers(0, 4), st.integers(0, 12)] * 2))
def test_break_even_is_what_counting_scenes_finds(numbers: tuple[int, ...]) -> None:
    mine, rival = Line(*numbers[:3]), Line(*numbers[3:])
    last = 100  # beyond all bends and crossings of such numbers
    dearer = [n for n in range(1, last + 1) if mine.total(n) > rival.total(n)]
    expected = None if dearer and dearer[-1] == last else (dearer[-1] + 1 if dearer else 1)
    assert break_even(mine, rival) == expected


def test_break_even_is_exact_for_seconds() -> None:
    mine, rival = Line(100.1, 0.1), Line(0.0, 0.3)
    n = break_even(mine, rival)
    assert n is not None
    assert mine.total(n) <= rival.total(n)
    assert mine.total(n - 1) > rival.total(n - 1)


def test_scenes_that_were_learned_from_cost_no_more_time() -> None:
    """(t1 + t2 (N - N1)) / N, the specification's form."""
    assert Line(600.0, 2.0, 500).effective(1000) == (600 + 2 * 500) / 1000
    assert Line(600.0, 2.0, 500).effective(300) == 2.0
    with pytest.raises(ValueError, match="at least 1"):
        Line(1, 1).effective(0)


def test_the_report_prints_the_published_figures() -> None:
    report = render_report("paper", 1000)
    row = next(line for line in report.splitlines() if line.startswith("3Da-AE"))
    assert row.split() == ["3Da-AE", "491.7", "kB", "3.20", "388.7", "MB", "880.4", "kB", "44.02", "%", "360", "scenes"]
    assert "86.07 %" in report
    assert "never" in next(line for line in report.splitlines() if line.startswith("micro planes only"))
    assert max(len(line) for line in report.splitlines()) <= 120


def measured() -> Profile:
    return Profile(
        (
            Costs("RGB tri-planes", {}, {"planes": 196_608}, 0.0, 20.9, psnr=29.71),
            Costs("scratch voxels", {"tables": 0}, {"scene": 1_400_000}, 0.0, 0.74, psnr=29.99),
            Costs("voxel", {"lift": 144_000, "tables": 56_000}, {"scene": 24_000}, 120.0, 0.4, 57, 29.7, "one seed"),
        ),
        "RGB tri-planes",
        ("scratch voxels",),
        "measured",
    )


def test_measured_costs_survive_a_file(tmp_path: Path) -> None:
    write_profile(tmp_path / "costs.json", measured())
    assert read_profile(tmp_path / "costs.json") == measured()
    report = render_report(tmp_path / "costs.json", 48)
    assert "29.70 dB" in report
    assert "voxel: one seed" in report
    figures = figures_of(measured(), 48)[2]
    assert figures["effective_bytes"] == 24_000 + 200_000 / 48
    assert figures["break_even_bytes"] == {"RGB tri-planes": 2, "scratch voxels": 1}
    # The 57 scenes that are learned from come with the shared 120 s: less than 6 of 20.9 s; and 120 + 0.4 (N - 57) is
    # less than 0.74 N from 97.2 / 0.34 scenes on.
    assert figures["break_even_seconds"] == {"RGB tri-planes": 6, "scratch voxels": 286}
    json.dumps(figures, allow_nan=False)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"format": 9}, "not a file of costs"),
        ({"variants": []}, "holds 0 variants"),
        ({"variants": [{"shared": {}}]}, "variant 0 has no name"),
        ({"variants": [{"name": "x", "own": {"a": -1}}]}, "whole numbers"),
        ({"variants": [{"name": "x", "own_seconds": float("nan")}]}, "'own_seconds' must be a number"),
        ({"variants": [{"name": "x", "learned": 1.5}]}, "'learned' must be a whole number"),
        ({"variants": [{"name": "x"}, {"name": "x"}]}, "names a variant twice"),
        ({"baseline": "nobody"}, "no variant 'nobody'"),
        ({"rivals": "all"}, "'rivals' a list"),
    ],
)
def test_bad_files_of_costs_are_refused(tmp_path: Path, change: dict, why: str) -> None:
    good = {"format": 1, "variants": [{"name": "a"}], "baseline": "a"}
    (tmp_path / "costs.json").write_text(json.dumps(good))
    read_profile(tmp_path / "costs.json")
    (tmp_path / "costs.json").write_text(json.dumps(good | change))
    with pytest.raises(BadInput, match=why):
        read_profile(tmp_path / "costs.json")


def test_a_report_needs_scenes() -> None:
    with pytest.raises(BadInput, match="--n is 0"):
        render_report("paper", 0)


def test_costs_without_times_have_no_table_of_times() -> None:
    variants = [replace(costs, own_seconds=None, note="") for costs in paper_profile().variants]
    assert "time of a scene" not in table(variants, variants[0], 10)
