"""The options of ``wan-tui generate``."""

from pathlib import Path
from typing import Annotated

import typer

from wan_tui.cli.attach import Where


def generate(
    context: typer.Context,
    deployment: Annotated[
        str | None, typer.Argument(help="Deployment that generates (default: the one of --from).")
    ] = None,
    prompt: Annotated[str | None, typer.Option(help="What to show.")] = None,
    prompt_file: Annotated[
        Path | None, typer.Option(help="UTF-8 file with the prompt instead; - is standard input.")
    ] = None,
    negative_prompt: Annotated[str | None, typer.Option(help="What not to show.")] = None,
    image: Annotated[Path | None, typer.Option(help="Picture to begin with (i2v, ti2v).")] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="MP4 file to write, or PNG file of one frame (default: one in the output directory)."),
    ] = None,
    width: Annotated[int | None, typer.Option(help="Pixels (default: the deployment's).")] = None,
    height: Annotated[int | None, typer.Option(help="Pixels (default: the deployment's).")] = None,
    frames: Annotated[int | None, typer.Option(help="Frames, 4k+1 (default: the deployment's).")] = None,
    steps: Annotated[int | None, typer.Option(help="Denoising steps (default: the deployment's).")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the noise (default: 0).")] = None,
    guidance: Annotated[float | None, typer.Option(help="Guidance scale (default: the deployment's).")] = None,
    videos: Annotated[
        int | None, typer.Option(help="Videos at once, with seeds that follow each other (default: 1).")
    ] = None,
    priority: Annotated[int | None, typer.Option(help="-100 to 100: higher goes first (default: 0).")] = None,
    timeout: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Give up so long after it began (default: never).")
    ] = None,
    retries: Annotated[
        int | None, typer.Option(help="Tries more after a dead worker or too little memory (default: 0).")
    ] = None,
    requeue: Annotated[
        bool | None,
        typer.Option("--requeue/--no-requeue", help="Begin again when its engine ended under it (default: yes)."),
    ] = None,
    repeat: Annotated[
        Path | None,
        typer.Option("--from", metavar="FILE.json", help="Repeat the run of a file beside a video; options override."),
    ] = None,
    batch: Annotated[
        Path | None, typer.Option(metavar="FILE.jsonl", help="A JSON object a line with prompt, seed, width, output, …")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> int:
    """Generate one video, or many, with a deployment; it is loaded for that, and unloaded when it is idle."""
    from wan_tui.cli.generate import Wishes, generate_video

    wishes = Wishes(
        deployment=deployment,
        prompt=prompt,
        prompt_file=prompt_file,
        negative_prompt=negative_prompt,
        image=image,
        output=output,
        width=width,
        height=height,
        frames=frames,
        steps=steps,
        seed=seed,
        guidance=guidance,
        videos=videos,
        priority=priority,
        timeout_seconds=timeout,
        retries=retries,
        requeue=requeue,
        repeat=repeat,
    )
    config: Path | None = context.obj
    where: Where = context.meta["wan_tui.where"]
    if batch is None:
        return generate_video(config, wishes, as_json=as_json, where=where)
    from wan_tui.cli.batch import generate_batch, only_the_deployment

    return generate_batch(config, only_the_deployment(wishes), batch, as_json=as_json, where=where)
