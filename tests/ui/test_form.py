"""What the form sends, and what it refuses before anything is sent."""

import pytest

from tests.snapshot_parts import T2V_CLIP
from wan_tui.core.planning.plan import GenerationRequest
from wan_tui.core.planning.questions import Question
from wan_tui.ui.form import FieldError, defaults, parse, question, values

GOOD = {
    "prompt": "a red fox, 100 % snow",
    "negative": "",
    "width": "64",
    "height": "48",
    "frames": "9",
    "steps": "4",
    "guidance": "4.5",
    "seed": "0",
}


def test_the_request_has_exactly_the_typed_values() -> None:
    assert parse("pocket", GOOD) == GenerationRequest(
        deployment="pocket",
        prompt="a red fox, 100 % snow",
        width=64,
        height=48,
        frames=9,
        steps=4,
        guidance=4.5,
        seed=0,
    )


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("steps", "many", "steps: 'many' is not a whole number"),
        ("width", "-64", "width: '-64' is not a whole number"),
        ("height", "6.4", "height: '6.4' is not a whole number"),
        ("width", "٣", "width: '٣' is not a whole number"),
        ("frames", "0", "frames: 0 is not between 1 and 1000000"),
        ("frames", "9" * 5000, "frames: 99999999999999999999… is not between 1 and 1000000"),
        ("seed", "", "seed: type a whole number"),
        ("seed", "9223372036854775808", "seed: 9223372036854775808 is not between 0 and 9223372036854775807"),
        ("guidance", "nan", "guidance: nan is not 0 or more"),
        ("guidance", "-1", "guidance: -1 is not 0 or more"),
        ("guidance", "strong", "guidance: 'strong' is not a number"),
        ("prompt", " \n ", "prompt: say what to generate"),
        ("image", "fox.png", "image: fox.png: write the whole path, beginning with /"),
        ("output", "~/fox.mp4", "output: ~/fox.mp4: write the whole path, beginning with /"),
        ("videos", "0", "videos: 0 is not between 1 and 1000000"),
        ("priority", "high", "priority: 'high' is not a whole number such as 5 or -5"),
        ("retries", "-1", "retries: '-1' is not a whole number"),
        ("timeout", "soon", "timeout: 'soon' is not a number of seconds; leave it empty for none"),
        ("timeout", "0", "timeout: 0 is not more than 0 seconds; leave it empty for none"),
    ],
)
def test_the_first_wrong_field_is_named_with_its_value(field: str, value: str, said: str) -> None:
    assert parse("pocket", GOOD | {field: value}) == FieldError(field, said)


def test_a_request_comes_back_as_it_was_typed() -> None:
    more = {"image": "/a b.png", "videos": "3", "priority": "-5", "retries": "2", "timeout": "90.5", "requeue": "no"}
    request = parse("pocket", GOOD | more)
    assert isinstance(request, GenerationRequest)
    assert (request.image, request.priority, request.retries, request.videos) == ("/a b.png", -5, 2, 3)
    assert (request.timeout_seconds, request.requeue, request.output) == (90.5, False, None)
    assert parse("pocket", GOOD | values(request)) == request
    written = parse("pocket", GOOD | more | {"output": "/tmp/once.mp4"})
    assert isinstance(written, GenerationRequest)
    assert values(written)["output"] == "", "a second run does not go over the first"


def test_a_question_is_about_the_shape_alone() -> None:
    assert question("pocket", GOOD | {"prompt": "", "seed": "x"}) == Question(
        deployment="pocket", width=64, height=48, frames=9, steps=4, guidance=4.5
    )
    several = question("pocket", GOOD | {"videos": "3"})
    assert several is not None
    assert several.batch == 3
    assert question("pocket", GOOD | {"steps": "many"}) is None
    assert question("pocket", GOOD | {"guidance": ""}) is None
    assert question(None, GOOD) is None


def test_without_a_deployment_there_is_nothing_to_send() -> None:
    assert isinstance(parse(None, GOOD), FieldError)


def test_defaults_are_the_deployments_and_parse() -> None:
    assert defaults(T2V_CLIP) == {"width": "832", "height": "480", "frames": "81", "steps": "40", "guidance": "4"}
    assert isinstance(parse("t2v", GOOD | defaults(T2V_CLIP)), GenerationRequest)
