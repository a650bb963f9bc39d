"""``tracks fit``: from a tracks file to a run, and what it refuses."""

from pathlib import Path

import pytest
from made_footage import made_tracked

from fieldscape.errors import BadInput
from fieldscape.systems.tracks.bundle import write_bundle
from fieldscape.systems.tracks.config import SourceSettings
from fieldscape.systems.tracks.fit import asked, fit
from fieldscape.systems.tracks.options_fit import TracksFitOptions


def test_a_run_comes_of_a_tracks_file_and_is_gone_on_with_only_from_the_same(tmp_path, capsys):
    write_bundle(tmp_path / "a.npz", made_tracked(4))
    write_bundle(tmp_path / "b.npz", made_tracked(5))
    out = tmp_path / "run"
    fit(TracksFitOptions(tmp_path / "a.npz", out=out, preset="original", steps=2, held_out=0, quiet=True))
    assert (out / "scene.json").exists()
    assert str(out) in capsys.readouterr().out
    with pytest.raises(BadInput, match="another tracks file"):
        fit(TracksFitOptions(tmp_path / "b.npz", out=out, resume=True, quiet=True))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (TracksFitOptions(Path("x.npz"), steps=-1), "--steps is -1"),
        (TracksFitOptions(Path("x.npz"), held_out=1), "hold out all frames"),
        (TracksFitOptions(Path("x.npz"), source=SourceSettings(around=0)), "--source.around is 0"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(options, said):
    with pytest.raises(BadInput, match=said):
        asked(options)


def test_steps_go_to_the_preset_that_is_asked_for():
    assert asked(TracksFitOptions(Path("x"), steps=7)).blend.steps == 7
    assert asked(TracksFitOptions(Path("x"), steps=7, preset="neural")).field.steps == 7
    assert asked(TracksFitOptions(Path("x"), steps=7, preset="original")).field.original_steps == 7


def test_a_missing_file_is_named():
    with pytest.raises(BadInput, match="Name a tracks file"):
        fit(TracksFitOptions())
