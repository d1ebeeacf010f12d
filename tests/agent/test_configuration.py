"""The configuration changed through a running engine: previewed, applied, pinned, checked; over the socket."""

import contextlib
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.agent.harness import curl, info
from tests.core.runtime.harness import until
from wan_tui.agent.changes import Change, Setting, of_deployment
from wan_tui.agent.configuration import CREATES, Configuration
from wan_tui.agent.embedded import EmbeddedClient
from wan_tui.agent.places import places
from wan_tui.agent.server import Api, ControlSocket
from wan_tui.agent.socket_client import SocketClient
from wan_tui.core.config import load_settings
from wan_tui.core.engine import Engine
from wan_tui.core.errors import UsageError, WanTuiError
from wan_tui.core.paths import default_paths
from wan_tui.core.words import LoadState

FILE = """\
# ours
[polling]
interval_seconds = 0.3

[deployments.story]  # the film
model = "t2v-A14B"
profile = "auto"
device = "cpu"

[deployments.small]
model = "t2v-pocket"
profile = "cpu"
"""


@contextlib.asynccontextmanager
async def configured(file: Path | None) -> AsyncIterator[tuple[Engine, SocketClient, Path]]:
    """An engine with its configuration behind a socket, and a client of it."""
    settings = load_settings(file)
    async with Engine(settings) as engine:
        api = Api(engine, info(), Configuration(engine, settings, file))
        async with ControlSocket(api, places().socket, engine.log), SocketClient(places().socket) as client:
            yield engine, client, places().socket


@pytest.fixture
def file(home: Path) -> Path:
    path = home / "wan-tui.toml"
    path.write_text(FILE)
    return path


def text(file: Path) -> str:
    return file.read_text()


def write(file: Path, content: str) -> None:
    file.write_text(content)


def backups(file: Path) -> list[str]:
    return [path.name for path in file.parent.glob("*.bak*")]


PROFILE = of_deployment("story", ("profile", "low-vram"))


async def test_a_change_is_shown_first_then_made_and_taken_up(file: Path) -> None:
    async with configured(file) as (engine, client, _):
        shown = await client.preview(PROFILE)
        assert text(file) == FILE, "to look changes nothing"
        assert shown.file == str(file)
        changed = [line for line in shown.diff.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")]
        assert changed == ['-profile = "auto"', '+profile = "low-vram"']
        backup = await client.apply(PROFILE, shown.base)
        assert text(file) == FILE.replace('"auto"', '"low-vram"', 1)
        assert backup is not None
        assert text(Path(backup)) == FILE
        newest = engine.latest
        assert newest is not None, "the snapshot knows as soon as the command has returned"
        assert [one.profile for one in newest.deployments if one.name == "story"] in (["low-vram"], ["auto"])
        seen = await until(engine, lambda s: s.deployment("story").profile == "low-vram", 20)  # type: ignore[union-attr]
        assert any("reloaded: changed story" in event.message for event in seen.log.events)


async def test_a_remedy_of_several_keys_is_one_change(file: Path) -> None:
    change = of_deployment("story", ("defaults.width", 640), ("defaults.height", 384))
    async with configured(file) as (engine, client, _):
        shown = await client.preview(change)
        await client.apply(change, shown.base)
        seen = await until(engine, lambda s: s.deployment("story").defaults.width == 640, 20)  # type: ignore[union-attr]
    assert seen.deployment("story").defaults.height == 384  # type: ignore[union-attr]
    assert tomllib.loads(text(file))["deployments"]["story"]["defaults"] == {"width": 640, "height": 384}


async def test_what_the_file_means_already_is_no_change(file: Path) -> None:
    """A default that is written out changes nothing, so there is nothing to confirm."""
    async with configured(file) as (_, client, _):
        for change in (of_deployment("story", ("profile", "auto")), of_deployment("story", ("wanted_loaded", False))):
            shown = await client.preview(change)
            assert shown.diff == ""
            with pytest.raises(UsageError, match="says so already"):
                await client.apply(change, shown.base)


async def test_to_unpin_what_nobody_pinned_writes_no_file(home: Path) -> None:
    async with configured(None) as (_, client, _):
        assert (await client.preview(of_deployment("pocket", ("wanted_loaded", False)))).diff == ""
        await client.pin("pocket", pinned=False)
    assert not (default_paths().config / "wan-tui.toml").exists()


async def test_a_file_that_changed_after_it_was_shown_is_left_alone(file: Path) -> None:
    async with configured(file) as (_, client, _):
        shown = await client.preview(PROFILE)
        write(file, FILE + "# somebody else\n")
        with pytest.raises(WanTuiError, match="changed after it was shown"):
            await client.apply(PROFILE, shown.base)
    assert text(file) == FILE + "# somebody else\n"
    assert backups(file) == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (of_deployment("story", ("profile", "lo-vram")), "did you mean low-vram?"),
        (of_deployment("story", ("defaults.frames", -1)), "deployments.story.defaults.frames = -1"),
        (of_deployment("stori", ("profile", "auto")), "deployments.stori.model: missing"),
        (Change(), "one of the two"),
        (Change(settings=PROFILE.settings, safe_fixes=True), "one of the two"),
        (Change(safe_fixes=True), "no finding has a safe fix"),
        (Change(settings=(Setting(("polling", "interval_seconds", "x"), 1),)), "is no table"),
    ],
)
async def test_a_change_that_makes_no_sense_is_refused_and_nothing_is_written(
    file: Path, change: Change, says: str
) -> None:
    async with configured(file) as (_, client, _):
        for attempt in (client.preview(change), client.apply(change, "any")):
            with pytest.raises(UsageError) as refused:
                await attempt
            assert says in str(refused.value)
            assert "\n" not in str(refused.value)
    assert text(file) == FILE


async def test_without_a_file_the_first_change_writes_one_with_the_default_deployments(home: Path) -> None:
    usual = default_paths().config / "wan-tui.toml"
    async with configured(None) as (engine, client, _):
        before = {one.name for one in (await until(engine, lambda s: True)).deployments}
        change = of_deployment("ti2v-5B", ("profile", "low-vram"))
        shown = await client.preview(change)
        assert shown.creates
        assert not backups(usual)
        assert shown.base == CREATES
        assert await client.apply(change, shown.base) is None, "there is no original to keep"
        seen = await until(engine, lambda s: s.deployment("ti2v-5B").profile == "low-vram", 20)  # type: ignore[union-attr]
        assert {one.name for one in seen.deployments} == before
        assert seen.config.file == str(usual)


async def test_safe_fixes_are_made_and_what_is_left_is_told(file: Path) -> None:
    async with configured(file) as (engine, client, _):
        write(file, FILE.replace("interval_seconds", "interval_secnds"))
        await client.reload()
        broken = await until(engine, lambda s: s.config.problem is not None, 20)
        assert "interval_secnds" in (broken.config.problem or "")
        await client.validate()
        told = await until(engine, lambda s: s.config.fixable, 20)
        assert "WAN102" in {finding.code for finding in told.config.findings}
        shown = await client.preview(Change(safe_fixes=True))
        assert "+interval_seconds = 0.3" in shown.diff
        await client.apply(Change(safe_fixes=True), shown.base)
        mended = await until(engine, lambda s: s.config.problem is None and not s.config.fixable, 20)
        assert "WAN102" not in {finding.code for finding in mended.config.findings}
    assert text(file) == FILE


async def test_validation_on_demand_runs_for_one_or_for_all(file: Path) -> None:
    async with configured(file) as (engine, client, _):

        def runs() -> dict[str, int]:
            assert engine.latest is not None
            return {one.name: one.validation.runs for one in engine.latest.deployments}

        await until(engine, lambda s: all(one.validation.last_run_at for one in s.deployments), 30)
        first = runs()
        await client.validate("small")
        await until(engine, lambda s: s.deployment("small").validation.runs == first["small"] + 1, 20)  # type: ignore[union-attr]
        assert runs()["story"] == first["story"]
        await client.validate()
        await until(engine, lambda s: s.deployment("story").validation.runs == first["story"] + 1, 20)  # type: ignore[union-attr]
        with pytest.raises(UsageError, match="did you mean small"):
            await client.validate("smal")


async def test_unpinning_is_written_down_and_pinning_what_cannot_run_is_refused(file: Path) -> None:
    write(file, FILE.replace('device = "cpu"', 'device = "gpu:7"'))
    async with configured(file) as (engine, client, _):
        await until(engine, lambda s: True)
        with pytest.raises(WanTuiError, match="cannot be loaded"):
            await client.pin("story", pinned=True)
        with pytest.raises(UsageError, match="did you mean story"):
            await client.pin("stori", pinned=True)
        assert "wanted_loaded" not in text(file)
        await client.pin("story", pinned=False)
        assert "wanted_loaded" not in text(file), "it says so already"


async def test_pinning_loads_and_is_written_down(file: Path) -> None:
    async with configured(file) as (engine, client, _):
        await client.pin("small", pinned=True)
        assert tomllib.loads(text(file))["deployments"]["small"]["wanted_loaded"] is True
        pinned = await until(engine, lambda s: s.deployment("small").pinned, 20)  # type: ignore[union-attr]
        small = pinned.deployment("small")
        assert small is not None
        assert small.state in (LoadState.LOADING, LoadState.LOADED)
        await client.pin("small", pinned=False)
        assert tomllib.loads(text(file))["deployments"]["small"]["wanted_loaded"] is False
        assert len(backups(file)) == 2, "no backup takes the place of another"
        await until(engine, lambda s: not s.deployment("small").pinned, 20)  # type: ignore[union-attr]


async def test_the_timeline_of_a_deployment_is_asked_for_by_name(file: Path) -> None:
    async with configured(file) as (engine, client, _):
        await until(engine, lambda s: s.number > 3)
        found = await client.timeline("small")
        assert found.points
        assert found.points[0].used_bytes is None, "nothing is loaded"
        with pytest.raises(UsageError, match="did you mean small"):
            await client.timeline("smal")


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("configuration/preview", '{"settings": [{"path": [], "value": 1}]}', "settings.0.path"),
        ("configuration/preview", '{"settings": [{"path": ["a"], "value": [1]}]}', "settings.0.value"),
        ("configuration/apply", '{"fixes": true}', "unknown key 'fixes'"),
        ("deployments/story/pin", '{"pinned": "yes"}', "pinned: "),
        ("deployments/story/pin", "", "body: "),
    ],
)
async def test_what_is_no_change_gets_one_clear_line(file: Path, path: str, body: str, says: str) -> None:
    async with (
        configured(file) as (_, _, where),
        curl(where) as session,
        session.post(f"/v1/{path}", data=body) as response,
    ):
        assert response.status == 400
        assert says in (await response.json())["error"]


async def test_an_embedded_engine_can_be_changed_alike(file: Path) -> None:
    async with EmbeddedClient(lambda: load_settings(file), config=file) as client:
        shown = await client.preview(PROFILE)
        await client.apply(PROFILE, shown.base)
        async for snapshot in client.snapshots():
            if snapshot.deployment("story").profile == "low-vram":  # type: ignore[union-attr]
                break
    assert 'profile = "low-vram"' in text(file)


async def test_a_first_file_is_written_once_and_taken_up(home: Path) -> None:
    usual = default_paths().config / "wan-tui.toml"
    async with configured(None) as (engine, client, _):
        assert await client.init_configuration() == str(usual)
        assert text(usual).startswith("# Configuration of wan-tui")
        await until(engine, lambda s: s.config.exists and s.config.file == str(usual))
        with pytest.raises(WanTuiError, match="exists and is never overwritten"):
            await client.init_configuration()
