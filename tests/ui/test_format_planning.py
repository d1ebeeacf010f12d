"""Lines of the screens of planning: every row has exactly the width asked, whatever there is to say."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests import snapshots
from tests.ui.fake_client import plain_preview, unknown_answer
from tests.ui.planned import an_hour, profiles
from wan_tui.agent.changes import Change, of_deployment, setting_of
from wan_tui.core.errors import UsageError
from wan_tui.core.planning.plan import Compatibility
from wan_tui.core.planning.questions import Question
from wan_tui.core.validation.rulebook.rules import rules
from wan_tui.core.words import Verdict
from wan_tui.ui import format_deployment_page as page
from wan_tui.ui import format_matrix, format_validation, what_if
from wan_tui.ui.format_change import change_lines
from wan_tui.ui.format_matrix import Cell, Place
from wan_tui.ui.format_profiles import profile_list
from wan_tui.ui.text import Frame, View, line_width

INCOMPATIBLE = replace(snapshots.incompatible(), profiles=profiles())
EIGHT = replace(snapshots.eight_gpus_one_lost(), profiles=profiles())
PLACES = what_if.places(
    ("RTX 4090 24G", "H100 80GB HBM3"), "B200 179G", {"RTX 4090 24G": "a", "H100 80GB HBM3": "b", "B200 179G": "c"}
)


def sections(view: View) -> Frame:
    story, width = EIGHT.deployments[0], view.width - 4
    found = [
        page.about(EIGHT, story, width),
        page.memory(story, an_hour(), EIGHT.taken_at, width, 8, page.free_bytes(story)),
        page.stages(page.stages_job(EIGHT, story), None, width),
        page.findings(story, width),
        page.worker_log(EIGHT, story, width),
    ]
    cinema = INCOMPATIBLE.deployments[0]
    found += [page.about(INCOMPATIBLE, cinema, width), page.findings(cinema, width)]
    help_ = page.remedies(cinema, width)
    assert help_ is not None
    return page.page([*found, help_], view)


def matrix(view: View) -> Frame:
    rows = what_if.rows(INCOMPATIBLE)
    cell = Cell(*rows[0], PLACES[0])
    return format_matrix.matrix(rows, PLACES, 1, {cell: unknown_answer(Question(model=rows[0][0]))}, "busy", view)


FRAMES: dict[str, Callable[[View], Frame]] = {
    "list": lambda view: page.deployment_list(EIGHT, view),
    "nothing": lambda view: page.deployment_list(snapshots.empty_host(), view),
    "page": sections,
    "matrix": matrix,
    "answer": lambda view: format_matrix.answer_lines(
        Cell("t2v-A14B", "auto", Place("here")), unknown_answer(Question(model="t2v-A14B")), None, view
    ),
    "legend": format_matrix.legend,
    "subjects": lambda view: format_validation.subject_list(INCOMPATIBLE, view),
    "findings": lambda view: format_validation.finding_list(INCOMPATIBLE, rules(), None, view, explain=True),
    "rule": lambda view: format_validation.rule_text(rules()["WAN001"], INCOMPATIBLE, view),
    "profiles": lambda view: profile_list(profiles(), "auto", {}, "the planner has a cold", view),
    "change": lambda view: change_lines(plain_preview(of_deployment("draft", ("profile", "fast"))), "so it is", view),
}


@pytest.mark.parametrize("width", [56, 60, 76, 80, 100, 160, 200])
@pytest.mark.parametrize("name", FRAMES)
def test_every_row_has_exactly_the_width(name: str, width: int) -> None:
    frame = FRAMES[name](View(width, 30, None, True))
    lines = [*frame.head, *(row.line for row in frame.rows)]
    assert lines
    assert {line_width(line) for line in lines} == {width}


@pytest.mark.parametrize(
    ("headroom", "verdict", "shown"),
    [
        (int(5.1 * 2**30), Verdict.FITS, "+5.1"),
        (-(2**30), Verdict.INCOMPATIBLE, "-1.0"),
        (2**30, Verdict.INCOMPATIBLE, "host"),
        (None, Verdict.UNKNOWN, "--"),
    ],
)
def test_headroom_is_of_the_device_or_says_that_the_host_is_short(
    headroom: int | None, verdict: Verdict, shown: str
) -> None:
    assert page.headroom_gib(Compatibility(verdict=verdict, reason="", headroom_bytes=headroom)) == shown


def test_columns_that_have_room_always_have_the_chosen_one() -> None:
    for width in (50, 60, 80, 100, 300):
        for chosen in range(len(PLACES)):
            shown = format_matrix.shown_places(PLACES, width, chosen)
            assert chosen in [number for number, _ in shown]
            assert [PLACES[number] for number, _ in shown] == [place for _, place in shown]


def test_the_row_of_the_cursor_is_asked_for_first() -> None:
    rows = what_if.rows(INCOMPATIBLE)
    first = what_if.missing(rows, PLACES[:1], rows[5], {})
    assert (first[0].model, first[0].profile) == rows[5]
    assert len(first) == len(rows)


@pytest.mark.parametrize(
    ("word", "value"),
    [("true", True), ("false", False), ("5", 5), ("0.5", 0.5), ("low-vram", "low-vram"), (None, None)],
)
def test_a_typed_value_is_what_it_looks_like(word: str | None, value: object) -> None:
    change: Change = setting_of("deployments.story.x", word)
    assert change.settings[0].path == ("deployments", "story", "x")
    assert change.settings[0].value == value
    assert type(change.settings[0].value) is type(value)


def test_a_key_that_is_no_path_is_refused() -> None:
    with pytest.raises(UsageError, match="a key by its path"):
        setting_of("deployments..x", "1")
