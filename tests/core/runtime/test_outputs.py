"""Names of videos by template, and the file beside each."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.core.runtime.harness import job, request, settings, until
from wan_tui.core.config import load_settings
from wan_tui.core.config.template import DEFAULT_TEMPLATE, check_template, render
from wan_tui.core.engine import Engine
from wan_tui.core.errors import UsageError
from wan_tui.core.planning.plan import ExecutionPlan, GenerationRequest
from wan_tui.core.runtime.outputs import Sidecar, frames_sha256, publisher, read_sidecar
from wan_tui.core.video import read_mp4, write_mp4
from wan_tui.core.words import OffloadMode, Precision

FRAMES = np.zeros((5, 16, 16, 3), np.uint8)
PLAN = ExecutionPlan(
    device="cpu",
    gpu_uuid=None,
    precision=Precision.FP32,
    vae_precision=Precision.FP32,
    offload=OffloadMode.NONE,
    vae_tiling=False,
)


def sidecar(asked: GenerationRequest | None = None) -> Sidecar:
    return Sidecar(
        job="1",
        request=asked or request(),
        model="t2v-pocket",
        seed=1,
        plan=PLAN,
        versions={"torch": "2.9"},
        stages=(),
        estimate=None,
        prompt_reused=False,
        fps=16,
        frames_sha256=frames_sha256(FRAMES),
    )


def write(path: Path, *, numbered: bool) -> Path:
    publish = publisher(lambda video: sidecar().to_json(), numbered=numbered)
    return write_mp4(path, FRAMES, 16, {}, lambda: None, publish)


@pytest.mark.parametrize(
    "template",
    [DEFAULT_TEMPLATE, "{deployment}/{date}/{job}", "{model}-{width}x{height}x{frames}-{seed:06d}.mp4", "clip"],
)
def test_templates_that_name_a_file(template: str) -> None:
    assert check_template(template) == template


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("{prompt}", "unknown placeholder {prompt}: known are job, deployment, model, seed, date"),
        ("{job.__class__}", "unknown placeholder {job.__class__}"),
        ("{}", "unknown placeholder {}"),
        ("{job", "write {{ and }} for braces"),
        ("{deployment:d}", "Unknown format code 'd'"),
        ("/tmp/{job}", "leads out of the output directory"),
        ("../{job}", "leads out of the output directory"),
        ("{date}/../../{job}", "leads out of the output directory"),
        ("~/{job}", "leads out of the output directory"),
        ("", "names no file"),
        ("{date}/", "names no file"),
        ("{job}\n", "characters that do not belong"),
        ("{job:>300}", "more than 200 bytes"),
    ],
)
def test_templates_that_do_not(template: str, says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        check_template(template)


def test_a_wrong_template_is_one_clear_line(home: Path) -> None:
    file = home / "wan-tui.toml"
    file.write_text('[paths]\noutput_template = "{date}-{promt}"\n')
    with pytest.raises(UsageError) as error:
        load_settings(file)
    assert str(error.value).startswith(
        f"{file}: paths.output_template = '{{date}}-{{promt}}': unknown placeholder {{promt}}: known are job, "
    )
    assert "\n" not in str(error.value)


def test_a_value_never_opens_a_folder() -> None:
    assert render("{deployment}/{model}", {"deployment": "a", "model": "own/../../x"}) == "a/own-..-..-x.mp4"


def test_a_taken_name_gets_a_number_and_nothing_is_overwritten(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    (tmp_path / "clip-2.json").write_text("somebody else's")
    assert write(clip, numbered=True) == clip
    assert write(clip, numbered=True) == tmp_path / "clip-3.mp4"
    assert (tmp_path / "clip-2.json").read_text() == "somebody else's"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("clip-2.json", "clip-3.json", "clip-3.mp4", "clip.json", "clip.mp4")
    ]


@pytest.mark.parametrize("taken", ["clip.mp4", "clip.json"])
def test_a_name_that_was_asked_for_is_that_one_or_an_error_and_leaves_nothing(tmp_path: Path, taken: str) -> None:
    (tmp_path / taken).write_text("here before")
    with pytest.raises(FileExistsError, match=taken):
        write(tmp_path / "clip.mp4", numbered=False)
    assert [path.name for path in tmp_path.iterdir()] == [taken]
    assert (tmp_path / taken).read_text() == "here before"


def test_a_sidecar_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    asked = request(prompt="ein roter Kreis ●", seed=2**63 - 1, timeout_seconds=3.5, priority=2)
    (tmp_path / "clip.json").write_bytes(sidecar(asked).to_json())
    recorded = read_sidecar(tmp_path / "clip.json")
    assert recorded.request == asked
    assert (recorded.model, recorded.frames_sha256) == ("t2v-pocket", frames_sha256(FRAMES))


def test_frames_of_another_shape_have_another_hash() -> None:
    assert frames_sha256(FRAMES) != frames_sha256(FRAMES.reshape(5, 32, 8, 3))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (
            lambda content: content["request"].update(width="wide"),
            "request.width = 'wide': Input should be a valid int",
        ),
        (lambda content: content["request"].pop("seed"), "request.seed: missing"),
        (lambda content: content.pop("request"), "request: missing; this is no file that wan-tui wrote"),
        (lambda content: content.update(format=2), "format = 2: Input should be 1"),
    ],
)
def test_a_bad_sidecar_is_one_line_with_file_key_and_value(
    tmp_path: Path, spoil: Callable[[dict[str, object]], object], says: str
) -> None:
    content = json.loads(sidecar().to_json())
    spoil(content)
    file = tmp_path / "clip.json"
    file.write_text(json.dumps(content))
    with pytest.raises(UsageError, match=re.escape(f"{file}: {says}")):
        read_sidecar(file)
    file.write_text("{")
    with pytest.raises(UsageError, match=f"{file}: not JSON: "):
        read_sidecar(file)


async def test_jobs_are_named_by_the_template_and_the_sidecar_is_there_when_they_are_finished(home: Path) -> None:
    wanted = settings(home)
    paths = wanted.paths.model_copy(update={"output_template": "{deployment}/{model}-{width}x{height}x{frames}-{seed}"})
    async with Engine(wanted.model_copy(update={"paths": paths})) as engine:
        jobs = [await engine.generate(request(steps=2, seed=7)) for _ in range(2)]
        picture = await engine.generate(request(steps=2, seed=7, frames=1, output=str(home / "outputs" / "one.PNG")))
        done = await until(engine, lambda s: all(found.state.ended for found in s.jobs))
    outputs = [Path(str(job(done, job_id).output)) for job_id in jobs]
    folder = home / "outputs" / "pocket"
    assert outputs == [folder / "t2v-pocket-64x64x9-7.mp4", folder / "t2v-pocket-64x64x9-7-2.mp4"]
    first, second = (json.loads(output.with_suffix(".json").read_text()) for output in outputs)
    assert first["frames_sha256"] == second["frames_sha256"] == read_mp4(outputs[0]).metadata["frames_sha256"]
    assert first["request"]["prompt"] == request().prompt
    assert (first["seed"], first["model"], first["plan"]["device"]) == (7, "t2v-pocket", "cpu")
    assert {"wan_tui", "torch", "diffusers", "transformers", "python", "cuda"} == set(first["versions"])
    assert {stage["stage"] for stage in first["stages"]} == {
        *("text_encode", "denoise_high_noise", "denoise_low_noise", "vae_decode", "write_output")
    }
    assert first["estimate"]["total_seconds"]["expected"] > 0
    assert (first["prompt_reused"], second["prompt_reused"]) == (False, True)

    # One frame as a PNG file: without loss, with the same metadata.
    assert job(done, picture).output == str(home / "outputs" / "one.PNG"), job(done, picture).failure
    with Image.open(home / "outputs" / "one.PNG") as image:
        told = json.loads(image.text["Comment"])  # type: ignore[attr-defined]
        assert image.format == "PNG"
        assert told["frames_sha256"] == frames_sha256(np.asarray(image)[None])
    assert json.loads((home / "outputs" / "one.json").read_text())["frames_sha256"] == told["frames_sha256"]
    assert sorted(file.name for file in (home / "outputs").iterdir()) == ["one.PNG", "one.json", "pocket"]
