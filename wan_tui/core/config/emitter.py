"""Configuration as TOML text: the effective settings with their origins, a commented default, a migrated file."""

from typing import Any

import tomli_w

from wan_tui.core.config.environment import Override
from wan_tui.core.config.settings import Settings

DEFAULT_FILE = """\
# Configuration of wan-tui. Every line that is commented out shows its default.
# WANTUI_SECTION_KEY variables (WANTUI_EXPORTER_PORT=9000) beat this file.

[paths]
# models = "/data/models"      # diffusers folders; the hub cache is looked into as well
# outputs = "/data/videos"     # where videos are written
# cache = "/data/cache"        # pocket models
# history = "/data/history.sqlite3"   # the queue is kept beside it
# output_template = "{date}-{time}-{deployment}-{job}"  # also {model} {seed} {width} {height} {frames} {index}

[polling]
# interval_seconds = 1.0       # between two polls of driver and host, 0.1 to 60
# deadline_seconds = 2.0       # how long one driver call may take, 0.1 to 60
# expected_gpus = 8            # fewer are told as missing; without it as many as the driver counted first

[exporter]
# listen_address = "127.0.0.1" # metrics are neither encrypted nor protected
# port = 12022                 # 0 takes a free one

[fleet]
# targets = ["render-02:12022", "https://render-03:12022"]  # other exporters that /sd lists beside this one

[limits]
# max_vram_gib = 20.0          # of each GPU, for plans; all of it without
# max_pixels = 399360          # of one frame: 832x480
# max_frames = 81
# max_steps = 50
# max_queued_jobs = 100        # of all deployments together

[validation]
# interval_seconds = 600.0     # between two checks of checkpoints and environment, 10 to 86400

[supervision]
# worker_silence_seconds = 60.0  # without a sign of life a worker is ended
# load_stall_seconds = 300.0     # and a load that makes no progress
# restarts = 5                   # by itself, within half an hour; 0 is never

[replanning]                     # another plan or GPU for the next job, when the device changed under a deployment
# enabled = true
# settle_seconds = 20.0          # for so long the change must last
# hold_seconds = 300.0           # and so long a plan is kept
# gain_ratio = 0.15              # of the time of what waits that it must save, loading again included

[agent]
# idle_exit_seconds = 600.0      # one that wan-tui started ends when it is idle for so long; 0 is never
# drain_seconds = 30.0           # how long what runs may take to finish when the agent ends

[ui]
# theme = "dark"               # light, contrast, colour-blind, ansi (the terminal's own colours)
# refresh_seconds = 0.2        # the least time between two pictures
# slow_link = false            # a picture in five seconds, no previews
# mouse = false
# hosts = ["render-02", "wan@render-03"]  # what the fleet page offers, as ssh takes them
# keys = { "job.cancel" = "ctrl+k" }      # other keys for actions, by the names in wan_tui/ui/KEYS.md

# Without deployments there is one for each official model, and pocket. Yours replace them:
#
# [deployments.story]
# model = "t2v-A14B"           # see wan-tui models
# device = "auto"              # auto, cpu or gpu:N
# profile = "auto"             # auto, quality, fast, cpu, ... or one of [profiles.NAME]
# attention = "sdpa"           # or flash, xformers, sage, where they are installed
# cache = "none"               # reuse between steps: first_block, mag, taylor_seer
# compile = false              # torch.compile of the transformer blocks: longer loads, shorter steps
# wanted_loaded = false        # load it when the engine starts
# keep_alive_seconds = 600.0   # idle time before one that a job loaded is unloaded; -1 is never
# replicas = 1                 # workers that share its jobs: story, story-2, story-3, each placed where it ends first
# replan = true                # whether its plan may change between two jobs
# checkpoint = "/data/models/Wan2.2-T2V-A14B-Diffusers"
# transformer = "/data/gguf/high-noise-Q4_K_M.gguf"  # a single file, GGUF or safetensors, in the place of the
# transformer_2 = "/data/gguf/low-noise-Q4_K_M.gguf" # checkpoint's; both experts alike
# loras = [{ path = "/data/loras/4-steps.safetensors", weight = 1.0, expert = "high_noise" }]  # or low_noise, both
#
# [deployments.story.defaults] # of requests that do not say; without them the model's own
# width = 832
# height = 480
# frames = 81
# steps = 40
# guidance = 4.0
"""


def effective(settings: Settings, data: dict[str, Any], set_outside: tuple[Override, ...]) -> str:
    """The settings as TOML, with the origin of each value as a comment; ``data`` is what the file says."""
    outside = {(override.section, override.key): override.variable for override in set_outside}
    everything = settings.model_dump(mode="json", exclude_none=True)
    deployments = everything.pop("deployments")
    keys = everything["ui"].pop("keys")
    sections: list[tuple[tuple[str, ...], Any]] = [((name,), values) for name, values in everything.items()]
    sections += [(("ui", "keys"), keys)] if keys else []
    for name, values in deployments.items():
        defaults = values.pop("defaults")
        sections.append((("deployments", name), values))
        sections += [(("deployments", name, "defaults"), defaults)] if defaults else []
    blocks = []
    for path, values in sections:
        given: Any = data
        for part in path:
            given = given.get(part, {})
        lines = [_header(path)]
        for key, value in values.items():
            variable = outside.get((path[0], key)) if len(path) == 1 else None
            origin = f"environment: {variable}" if variable else "file" if key in given else "default"
            lines.append(f"{tomli_w.dumps({key: value}).rstrip()}  # {origin}")
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"


def as_toml(data: dict[str, Any]) -> str:
    return tomli_w.dumps(data)


def _header(path: tuple[str, ...]) -> str:
    """The header as the library quotes it."""
    table: dict[str, Any] = {}
    for part in reversed(path):
        table = {part: table}
    return tomli_w.dumps(table).strip().splitlines()[-1]
