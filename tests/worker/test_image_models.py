"""Image-to-video and text-and-image-to-video through a real worker process."""

import asyncio
from pathlib import Path

from PIL import Image

from tests.core.runtime.harness import job, request, settings, until
from wan_tui.core.config import DeploymentSettings
from wan_tui.core.engine import Engine
from wan_tui.core.video import read_mp4
from wan_tui.core.words import JobFailureReason, JobState, Phase


async def test_pictures_become_videos(home: Path) -> None:
    picture = home / "picture.png"
    await asyncio.to_thread(Image.new("RGB", (80, 50), "green").save, picture)
    chosen = settings(
        home,
        i2v=DeploymentSettings(model="i2v-pocket", profile="cpu"),
        ti2v=DeploymentSettings(model="ti2v-pocket", profile="cpu"),
    )
    async with Engine(chosen) as engine:
        with_picture = [
            await engine.generate(request(deployment=name, image=str(picture), output=str(home / f"{name}.mp4")))
            for name in ("i2v", "ti2v")
        ]
        (home / "broken.png").write_bytes(b"not a picture")
        broken = await engine.generate(request(deployment="ti2v", image=str(home / "broken.png")))
        text_only = await engine.generate(request(deployment="ti2v"))
        done = await until(engine, lambda s: all(job(s, name).state.ended for name in (*with_picture, text_only)))
        for job_id in (*with_picture, text_only):
            assert job(done, job_id).state is JobState.FINISHED, job(done, job_id).failure
        failure = job(done, broken).failure
        assert failure is not None
        assert failure.reason is JobFailureReason.INVALID_REQUEST
        assert "broken.png" in failure.message
        for job_id in with_picture:
            stages = {stage.stage: stage.seconds for stage in job(done, job_id).stages}
            assert stages[Phase.IMAGE_ENCODE] > 0
            assert stages[Phase.DENOISE_HIGH_NOISE] > 0
        assert Phase.IMAGE_ENCODE not in {stage.stage for stage in job(done, text_only).stages}
    for name, fps in (("i2v", 16), ("ti2v", 24)):
        video = read_mp4(home / f"{name}.mp4")
        assert (video.frames, video.width, video.height, video.fps) == (9, 64, 64, fps)
