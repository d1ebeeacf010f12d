"""A setting changed in a file: that and nothing else, comments and layout kept, the original beside it."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wan_tui.core.config.editing import Value, rewrite, unified, with_settings
from wan_tui.core.config.settings import Settings, default_settings, validated
from wan_tui.core.errors import UsageError, WanTuiError

FILE = """\
# ours
[exporter]
port = 9000  # as agreed with the network team

[deployments.story]     # the film
model = "t2v-A14B"
profile = "auto"        # let it choose
defaults = { frames = 81, steps = 40 }

[deployments."odd name".defaults]
width = 832
"""
PROFILE = ("deployments", "story", "profile")


def test_one_line_changes_and_its_comment_stays() -> None:
    after = with_settings(FILE, {PROFILE: "low-vram"})
    changed = [pair for pair in zip(FILE.splitlines(), after.splitlines(), strict=True) if pair[0] != pair[1]]
    assert len(changed) == 1
    assert 'profile = "low-vram"' in changed[0][1]
    assert changed[0][1].endswith("# let it choose")


def test_inline_tables_quoted_names_and_new_keys() -> None:
    after = with_settings(
        FILE,
        {
            ("deployments", "story", "defaults", "frames"): 49,
            ("deployments", "odd name", "defaults", "height"): 480,
            ("deployments", "story", "wanted_loaded"): True,
            ("limits", "max_vram_gib"): 20.0,
        },
    )
    found = tomllib.loads(after)
    assert found["deployments"]["story"]["defaults"] == {"frames": 49, "steps": 40}
    assert found["deployments"]["odd name"]["defaults"] == {"width": 832, "height": 480}
    assert found["deployments"]["story"]["wanted_loaded"] is True
    assert found["limits"] == {"max_vram_gib": 20.0}
    assert all(comment in after for comment in ("# ours", "# as agreed", "# the film", "# let it choose"))


def test_none_takes_a_key_away_and_what_is_not_there_is_left() -> None:
    after = with_settings(FILE, {PROFILE: None, ("polling", "interval_seconds"): None})
    assert "profile" not in tomllib.loads(after)["deployments"]["story"]
    assert "polling" not in after


@pytest.mark.parametrize("text", [None, "", "[exporter]\nport = 9000\n"])
def test_the_default_deployments_are_written_out_before_one_is_changed(text: str | None) -> None:
    """One deployment in a file replaces all default ones, so a change to one must not lose the others."""
    after = with_settings(text, {("deployments", "ti2v-5B", "profile"): "low-vram"})
    found = validated(tomllib.loads(after), None).deployments
    expected = dict(default_settings().deployments)
    expected["ti2v-5B"] = expected["ti2v-5B"].model_copy(update={"profile": "low-vram"})
    assert found == expected


def test_text_that_is_no_toml_and_keys_that_are_no_tables_are_refused() -> None:
    with pytest.raises(UsageError, match="not valid TOML"):
        with_settings("[", {PROFILE: "auto"})
    with pytest.raises(UsageError, match=r"exporter\.port is no table"):
        with_settings(FILE, {("exporter", "port", "number"): 1})


def test_dotted_keys_are_changed_where_they_stand() -> None:
    text = 'deployments.story.model = "t2v-A14B" # here\ndeployments.story.profile = "auto" # and here\n'
    assert with_settings(text, {PROFILE: "fast"}) == text.replace('"auto"', '"fast"')


@given(st.sampled_from(["auto", "low-vram"]), st.booleans(), st.integers(1, 999), st.sampled_from(["\n", "\r\n"]))
def test_what_is_read_back_is_what_was_set(profile: str, loaded: bool, frames: int, end: str) -> None:
    changes: dict[tuple[str, ...], Value] = {
        PROFILE: profile,
        ("deployments", "story", "wanted_loaded"): loaded,
        ("deployments", "story", "defaults", "frames"): frames,
    }
    found = tomllib.loads(with_settings(FILE.replace("\n", end), changes))["deployments"]["story"]
    assert (found["profile"], found["wanted_loaded"], found["defaults"]["frames"]) == (profile, loaded, frames)
    Settings.model_validate({"deployments": {"story": found}})


def test_the_original_is_kept_and_a_file_that_changed_meanwhile_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "wan-tui.toml"
    file.write_text(FILE)
    after = with_settings(FILE, {PROFILE: "fast"})
    backup = rewrite(file, FILE, after)
    assert backup is not None
    assert (file.read_text(), backup.read_text()) == (after, FILE)
    with pytest.raises(WanTuiError, match="changed meanwhile"):
        rewrite(file, FILE, "")
    assert file.read_text() == after


def test_a_new_file_is_created_with_its_folder_and_never_over_another(tmp_path: Path) -> None:
    file = tmp_path / "config" / "wan-tui.toml"
    assert rewrite(file, None, FILE) is None
    assert file.read_text() == FILE
    with pytest.raises(WanTuiError, match="came into being"):
        rewrite(file, None, "")


def test_a_diff_names_the_file_and_shows_a_new_one_whole() -> None:
    diff = unified(FILE, with_settings(FILE, {PROFILE: "fast"}), "/etc/wan-tui.toml")
    assert diff.startswith("--- /etc/wan-tui.toml\n+++ /etc/wan-tui.toml\n@@")
    assert len([line for line in diff.splitlines() if line[0] in "+-"]) == 4
    new = unified(None, FILE, "/etc/wan-tui.toml").splitlines()
    assert new[0] == "--- /dev/null"
    assert [line[1:] for line in new[3:]] == FILE.splitlines()
