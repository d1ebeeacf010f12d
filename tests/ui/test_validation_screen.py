"""Validation: findings worst first, their rules, running again, safe fixes; and failures."""

from dataclasses import replace

import pytest

from tests import snapshots
from tests.ui.conftest import Drive
from wan_tui.agent.changes import Change
from wan_tui.core.errors import UsageError, WanTuiError
from wan_tui.core.snapshot import ConfigStatus, Snapshot
from wan_tui.core.validation.findings import Finding
from wan_tui.core.validation.rulebook.rules import finding, rules
from wan_tui.ui.format_validation import all_findings, counted
from wan_tui.ui.screens.change import ChangeDialog
from wan_tui.ui.widgets.rows import SelectableRows

FILE = "/home/wan/wan-tui.toml"


def found() -> Snapshot:
    """One error of a deployment, one note that two share, one warning of the file that has a safe fix."""
    snapshot = snapshots.incompatible()
    shared = finding("WAN301", "model", "a note that both have")
    shared = replace(shared, severity=rules()["WAN301"].severity)
    config = ConfigStatus(
        file=FILE, findings=(finding("WAN102", f"{FILE}: polling.interval", "unknown key"),), fixable=True
    )
    cinema, draft = snapshot.deployments
    deployments = (
        replace(cinema, findings=(*cinema.findings, shared)),
        replace(draft, findings=(shared,)),
    )
    return replace(snapshot, config=config, deployments=deployments)


def test_findings_are_worst_first_and_shared_ones_are_there_once() -> None:
    order = ["error", "warning", "info"]
    everything = all_findings(found())
    severities = [order.index(one.finding.severity) for one in everything]
    assert severities == sorted(severities)
    (shared,) = [one for one in everything if one.finding.code == "WAN301"]
    assert shared.subjects == ("cinema", "draft")


def test_counts_are_words() -> None:
    assert counted(()) == "no finding"
    assert counted(tuple(one.finding for one in all_findings(found()))).count("error") == 1


@pytest.mark.parametrize("size", [(60, 20), (80, 24), (160, 48), (200, 60)])
async def test_at_every_size_the_rule_of_the_selected_finding_is_told(drive: Drive, size: tuple[int, int]) -> None:
    async with drive(found(), size=size) as it:
        await it.press("4")
        first = all_findings(found())[0].finding
        assert first.code in it.rows("#findings")[1]
        explained = it.text("#rule") if size[0] >= 120 else it.text("#findings")
        entry = rules()[first.code]
        assert entry.why.split()[0] in explained
        assert "checks" in explained
        assert "fix" in explained
        assert all(len(line) <= size[0] for line in it.screen_text().splitlines())


async def test_subjects_say_how_their_rules_came_out(drive: Drive) -> None:
    async with drive(found(), size=(120, 40)) as it:
        await it.press("4")
        text = it.text("#subjects")
        assert FILE in text
        assert "1 error" in text
        assert "05:00 ago" in text
        await it.press("tab", "tab")
        it.app.screen.query_one("#subjects", SelectableRows).focus()
        await it.press("down", "down")
        assert "SKIPPED" in it.text("#skipped")


async def test_before_the_configuration_was_looked_at_it_is_not_called_valid(drive: Drive) -> None:
    async with drive(snapshots.incompatible()) as it:
        await it.press("4")
        assert "not looked at yet" in it.text("#subjects")


async def test_run_all_and_run_one(drive: Drive) -> None:
    async with drive(found()) as it:
        await it.press("4", "V")
        assert it.client.commands == [("validate", "all")]
        findings = it.app.screen.query_one("#findings", SelectableRows)
        findings.select(next(key for key in findings.keys if key.startswith("WAN001")))
        await it.press("v")
        assert it.client.commands[-1] == ("validate", "cinema"), "the one that the selected finding is of"
        it.app.screen.query_one("#subjects", SelectableRows).focus()
        it.app.screen.query_one("#subjects", SelectableRows).select("draft")
        await it.press("v")
        assert it.client.commands[-1] == ("validate", "draft")
        it.app.screen.query_one("#subjects", SelectableRows).select("configuration")
        await it.press("v")
        assert it.client.commands[-1] == ("validate", "all"), "the file is checked with everything else"


async def test_the_result_comes_up_with_the_snapshot(drive: Drive) -> None:
    snapshot = found()
    async with drive(snapshot) as it:
        await it.press("4")
        clean = tuple(replace(one, findings=()) for one in snapshot.deployments)
        await it.publish(replace(snapshot, number=999, deployments=clean, config=ConfigStatus(file=FILE)))
        assert "nothing was found" in it.text("#findings")


async def test_findings_of_one_alone(drive: Drive) -> None:
    async with drive(found()) as it:
        await it.press("4")
        rows = it.app.screen.query_one("#findings", SelectableRows)
        everything = rows.keys
        it.app.screen.query_one("#subjects", SelectableRows).focus()
        it.app.screen.query_one("#subjects", SelectableRows).select("draft")
        await it.press("enter")
        assert [key.split()[0] for key in rows.keys] == ["WAN301"]
        assert "FINDINGS OF DRAFT" in it.text("#findings")
        await it.press("o")
        assert rows.keys == everything


async def test_safe_fixes_are_shown_before_they_are_made(drive: Drive) -> None:
    async with drive(found()) as it:
        await it.press("4", "f")
        assert isinstance(it.app.screen, ChangeDialog)
        assert it.client.previewed == [Change(safe_fixes=True)]
        assert "+port = 1" in it.text("#change-rows")
        assert "-prot = 1" in it.text("#change-rows")
        await it.press("escape")
        assert it.client.applied == []
        await it.press("f", "y")
        assert it.client.applied == [Change(safe_fixes=True)]
        assert "safe fixes: done; the original is /home/wan/wan-tui.toml.bak" in it.text("#status")


async def test_without_a_safe_fix_there_is_no_key_for_it(drive: Drive) -> None:
    async with drive(snapshots.incompatible()) as it:
        await it.press("4", "f")
        assert it.client.previewed == []
        assert "safe fixes" not in it.text("#keys")


async def test_refusals_are_one_line(drive: Drive) -> None:
    async with drive(found()) as it:
        await it.press("4")
        it.client.refusal = UsageError("no finding has a safe fix")
        await it.press("f")
        assert "no finding has a safe fix" in it.text("#status")
        it.client.refusal = WanTuiError("the engine is stopping")
        await it.press("V")
        assert "validate everything: the engine is stopping" in it.text("#status")


async def test_without_an_engine_nothing_can_run(drive: Drive) -> None:
    async with drive(found()) as it:
        await it.press("4")
        it.client.break_stream(WanTuiError("agent gone, reconnecting"))
        await it.settle()
        for key in ("V", "f"):
            await it.press(key)
            assert "not connected to the engine" in it.text("#status")


async def test_the_filter_finds_words_of_a_finding(drive: Drive) -> None:
    async with drive(found()) as it:
        await it.press("4")
        it.app.screen.query_one("#findings", SelectableRows).set_filter("unknown key")
        await it.settle()
        assert [key.split()[0] for key in it.app.screen.query_one("#findings", SelectableRows).keys] == ["WAN102"]


async def test_everything_has_a_likeness_in_ascii(drive: Drive) -> None:
    async with drive(found(), ascii_only=True) as it:
        await it.press("4")
        assert it.screen_text().isascii()
        assert "error" in it.screen_text()


def test_every_finding_of_the_fixture_is_a_rule() -> None:
    findings: list[Finding] = [one.finding for one in all_findings(found())]
    assert all(one.code in rules() for one in findings)
