"""Costs as people read them: two tables, memory and time, each with the cost alone and with all that is shared."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fieldscape.errors import BadInput
from fieldscape.systems.latents.cost import Costs, break_even, saved
from fieldscape.systems.latents.cost_profiles import Profile, paper_profile, read_profile

MOST_SCENES = 10**12


def render_report(profile: str | Path, n: int) -> str:
    """The report at ``n`` scenes. profile: "paper", or a file of measured costs.

    Raises BadInput: fewer scenes than one, or a file that cannot be read.
    """
    return report_of(paper_profile() if profile == "paper" else read_profile(profile), n)


def report_of(profile: Profile, n: int) -> str:
    """The title and the tables of a profile at ``n`` scenes. Raises BadInput for fewer than one."""
    lines = [f"{profile.title}:"] if profile.title else []
    return "\n".join([*lines, table(profile.variants, profile.named(profile.baseline), n, _rivals(profile))])


def figures_of(profile: Profile, n: int) -> list[dict[str, object]]:
    """All figures of ``report_of`` as JSON, a variant each. Raises BadInput as it does."""
    _require_scenes(n)
    baseline = profile.named(profile.baseline)
    return [costs.figures(baseline, [baseline, *_rivals(profile)], n) for costs in profile.variants]


def table(variants: Sequence[Costs], baseline: Costs, n: int, rivals: Sequence[Costs] = ()) -> str:
    """Memory and time of each variant at ``n`` scenes, beside ``baseline``; break-even also against ``rivals``.

    Raises BadInput for fewer scenes than one.
    """
    _require_scenes(n)
    against = [baseline, *(rival for rival in rivals if rival.name != baseline.name)]
    parts = [_memory(variants, against, n)]
    if any(costs.time is not None for costs in variants):
        parts.append(_time(variants, against, n))
    notes = dict.fromkeys(costs.note for costs in variants if costs.note)
    for note in notes:
        names = [costs.name for costs in variants if costs.note == note]
        parts.append(f"{'all' if len(names) == len(variants) > 1 else ', '.join(names)}: {note}")
    return "\n\n".join(parts)


def _memory(variants: Sequence[Costs], against: Sequence[Costs], n: int) -> str:
    base = against[0].memory
    head = ["", "alone", "times smaller", "shared by all", f"of {n:,} scenes", "saved", *_evens(against)]
    rows = []
    for costs in variants:
        line = costs.memory
        rows.append(
            [
                costs.name,
                size(line.marginal),
                _ratio(base.marginal, line.marginal),
                size(line.shared),
                size(line.effective(n)),
                "" if costs is against[0] else _percent(saved(line.effective(n), base.effective(n))),
                *("" if costs is rival else _even(break_even(line, rival.memory)) for rival in against),
            ]
        )
    return _grid("memory of a scene", head, rows)


def _time(variants: Sequence[Costs], against: Sequence[Costs], n: int) -> str:
    base, quality = against[0].time, any(costs.psnr is not None for costs in variants)
    head = [
        "",
        "alone",
        "times faster",
        "shared by all",
        f"of {n:,} scenes",
        "saved",
        *_evens(against),
        *(["PSNR"] if quality else []),
    ]
    rows = []
    for costs in variants:
        line = costs.time
        psnr = ["" if costs.psnr is None else f"{costs.psnr:.2f} dB"] if quality else []
        if line is None:
            rows.append([costs.name, *["not known"] * 5, *[""] * len(against), *psnr])
            continue
        rows.append(
            [
                costs.name,
                duration(line.marginal),
                "" if base is None else _ratio(base.marginal, line.marginal),
                "not known" if costs.shared_seconds is None else duration(line.shared),
                duration(line.effective(n)),
                "" if base is None or costs is against[0] else _percent(saved(line.effective(n), base.effective(n))),
                *("" if costs is rival else _even(costs.pays_in_time(rival)) for rival in against),
                *psnr,
            ]
        )
    return _grid("time of a scene", head, rows)


def size(count: float) -> str:
    """Bytes in powers of 1,000, four digits.

    >>> size(204), size(880416.65), size(388692400), size(1572864)
    ('204 B', '880.4 kB', '388.7 MB', '1,572.9 kB')
    """
    if count < 10_000:
        return f"{count:,.0f} B"
    if count < 10_000_000:
        return f"{count / 1e3:,.1f} kB"
    return f"{count / 1e6:,.1f} MB" if count < 1e10 else f"{count / 1e9:,.1f} GB"


def duration(seconds: float) -> str:
    """Seconds, or minutes or hours where there are many.

    >>> duration(0.4), duration(537.6), duration(20000)
    ('0.400 s', '8.96 min', '5.56 h')
    """
    if seconds < 100:
        return f"{seconds:.3f} s" if seconds < 10 else f"{seconds:.1f} s"
    return f"{seconds / 60:.2f} min" if seconds < 7200 else f"{seconds / 3600:,.2f} h"


def _evens(against: Sequence[Costs]) -> list[str]:
    return [f"breaks even with {rival.name} at" for rival in against]


def _even(scenes: int | str | None) -> str:
    if isinstance(scenes, str):
        return scenes
    return "never" if scenes is None else "1 scene" if scenes == 1 else f"{scenes:,} scenes"


def _ratio(base: float, mine: float) -> str:
    return f"{base / mine:,.2f}" if mine else ""


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _grid(title: str, head: list[str], rows: list[list[str]]) -> str:
    """Columns set apart by two spaces: names to the left, figures to the right; long headings over several lines."""
    head = [title, *head[1:]]
    wrapped = [_wrapped(text, max(12, *(len(row[i]) for row in rows))) for i, text in enumerate(head)]
    height = max(map(len, wrapped))
    lines = [
        [cell[k - height + len(cell)] if k >= height - len(cell) else "" for cell in wrapped] for k in range(height)
    ]
    everything = [*lines, *rows]
    widths = [max(len(row[i]) for row in everything) for i in range(len(head))]
    drawn = [
        "  ".join(
            text.ljust(w) if i == 0 else text.rjust(w) for i, (text, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in everything
    ]
    return "\n".join(
        [*(line.rstrip() for line in drawn[:height]), "-" * len(drawn[0]), *(d.rstrip() for d in drawn[height:])]
    )


def _wrapped(text: str, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def _rivals(profile: Profile) -> list[Costs]:
    return [profile.named(name) for name in profile.rivals if name != profile.baseline]


def _require_scenes(n: int) -> None:
    if not 1 <= n <= MOST_SCENES:
        raise BadInput(f"--n is {n}: the number of scenes must be from 1 to {MOST_SCENES:,}.")
