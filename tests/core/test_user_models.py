"""Models that users add in ``models.toml`` of their configuration directory."""

from pathlib import Path

import pytest

from tests.cli.harness import wan_tui
from wan_tui.core.catalog.models import _read
from wan_tui.core.catalog.user_models import read_user_models
from wan_tui.core.errors import UsageError
from wan_tui.core.paths import default_paths

BUILT_IN = _read("models.toml")
GOOD = '["anime"]\nbase = "t2v-a14b"\nrepository = "me/Anime-14B"\ndefault_steps = 8\ndefault_size = [640, 352]\n'


def user_file(home: Path, text: str | bytes) -> Path:
    file = default_paths().config / "models.toml"
    assert file.is_relative_to(home)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


def test_a_model_shares_what_it_does_not_say_with_its_base(home: Path) -> None:
    entry = read_user_models(user_file(home, GOOD), BUILT_IN)["anime"]
    base = BUILT_IN["t2v-A14B"]
    assert entry["default_steps"] == 8
    assert entry["title"] == "anime (as t2v-A14B)"
    assert entry["transformer"] == base["transformer"]
    assert entry["boundary_ratio"] == base["boundary_ratio"]
    assert base["default_steps"] == 40


def test_it_is_a_model_like_any_other(home: Path) -> None:
    user_file(home, GOOD)
    assert "anime" in wan_tui("models").stdout
    assert "4 models: 4 valid, 0 invalid" in wan_tui("validate").stdout
    assert "anime" in wan_tui("status").stdout
    assert wan_tui("validate", "me/anime-14b").returncode == 0


def test_a_model_that_does_not_agree_with_itself_is_a_finding(home: Path) -> None:
    user_file(home, GOOD.replace("[640, 352]", "[641, 352]") + "default_frames = 16\n")
    run = wan_tui("validate", "anime")
    assert run.returncode == 1
    assert "WAN301" in run.stdout
    assert "WAN302" in run.stdout


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x = [", "not valid TOML"),
        (b"\xff", "not UTF-8"),
        ("[\"a b\"]\nbase = 't2v-A14B'\nrepository = 'a/b'", "'a b' is no id"),
        ("[\"T2V-A14B\"]\nbase = 't2v-A14B'\nrepository = 'a/b'", "there is a model of this id already"),
        ("[x]\nrepository = 'a/b'", "x.base: missing"),
        ("[x]\nbase = 't2v-A15B'\nrepository = 'a/b'", "t2v-A14B"),
        ("[x]\nbase = 't2v-pocket'\nrepository = 'a/b'", "x.base: unknown model"),
        ("[x]\nbase = 't2v-A14B'\nrepository = 'a'", "x.repository = 'a'"),
        ("[x]\nbase = 't2v-A14B'\nrepository = 'a/b'\ndefault_stepps = 4", "default_steps"),
        ("[x]\nbase = 't2v-A14B'\nrepository = 'a/b'\ndefault_steps = 'many'", "x.default_steps = 'many'"),
        ("[x]\nbase = 't2v-A14B'\nrepository = 'a/b'\nboundary_ratio = 2", "x.boundary_ratio = 2"),
        ("x = 1", "x = 1"),
    ],
)
def test_a_bad_file_is_one_line_that_names_it(home: Path, text: str | bytes, says: str) -> None:
    file = user_file(home, text)
    with pytest.raises(UsageError) as refused:
        read_user_models(file, BUILT_IN)
    message = str(refused.value)
    assert message.startswith(str(file))
    assert says in message
    assert "\n" not in message


def test_a_bad_file_ends_a_command_with_status_2(home: Path) -> None:
    user_file(home, "x = [")
    for command in ("models", "validate", "status"):
        run = wan_tui(command)
        assert run.returncode == 2
        assert run.stderr.count("\n") == 1
