"""The worker's loop: say hello, load once, generate until told to exit."""

import contextlib
import socket
import threading
import time

import psutil

from wan_tui.core.catalog import load_catalogue
from wan_tui.core.runtime.protocol import Exit, Generate, Hello, Load, Loaded, LoadFailed, LoadStage, Log, Memory
from wan_tui.core.words import LoadFailureReason
from wan_tui.worker.channel import Channel

HEARTBEAT_SECONDS = 1.0


def serve(connection: socket.socket) -> int:
    """Handle commands until Exit. Returns the exit status of the process."""
    channel = Channel(connection)
    try:
        import diffusers
        import torch
        import transformers
    except ImportError as error:
        message = f"{error}; install the inference extra: pip install 'wan-tui[inference]'"
        channel.send(LoadFailed(reason=LoadFailureReason.ENVIRONMENT, message=message))
        return 1
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    hello = Hello(
        pid=psutil.Process().pid,
        torch_version=torch.__version__,
        diffusers_version=diffusers.__version__,
        transformers_version=transformers.__version__,
        cuda_version=torch.version.cuda,
    )
    channel.send(hello)
    threading.Thread(target=_beat, args=(channel,), name="heartbeat", daemon=True).start()

    from wan_tui.worker.failures import is_out_of_memory
    from wan_tui.worker.faults import LOAD, Faults
    from wan_tui.worker.generate import Generator
    from wan_tui.worker.load import LoadError, load_pipeline
    from wan_tui.worker.measure import compile_pipeline, measure_rate
    from wan_tui.worker.peaks import PeakMeter
    from wan_tui.worker.prompts import PromptCache

    try:
        faults = Faults(lambda text: channel.send(Log(level="warning", message=text)))
    except ValueError as error:
        channel.send(LoadFailed(reason=LoadFailureReason.ENVIRONMENT, message=str(error)))
        return 1
    generator: Generator | None = None
    while True:
        command = channel.next_command()
        match command:
            case Load():
                started = time.monotonic()
                model = load_catalogue().find(command.model)

                def report(stage: str, ratio: float) -> None:
                    channel.send(LoadStage(stage=stage, progress_ratio=ratio))
                    faults.reach(LOAD)

                try:
                    loaded = load_pipeline(model, command, report)
                    if loaded.plan.compile:
                        report("compile", 0.85)
                        compile_pipeline(loaded)
                    report("measure", 0.9)
                    rate = measure_rate(loaded)
                    meter = PeakMeter(loaded.device, None) if loaded.device.type == "cuda" else None
                    generator = Generator(loaded, channel, PromptCache(), meter, faults.reach)
                except LoadError as error:
                    channel.send(LoadFailed(reason=error.reason, message=str(error)))
                    return 1
                except Exception as error:
                    # Measuring runs the model for the first time: it may be what there is no memory for.
                    if not is_out_of_memory(error):
                        raise
                    text = f"out of memory while measuring {model.id}: {' '.join(str(error).split())}"
                    channel.send(LoadFailed(reason=LoadFailureReason.OUT_OF_MEMORY, message=text))
                    return 1
                ways = ", ".join(f"{role} {how}" for role, how in loaded.reading.items() if how)
                if ways:
                    channel.send(Log(level="info", message=f"read {ways}"))
                channel.send(_memory(psutil.Process()))  # what it holds before its first job
                channel.send(Loaded(seconds=time.monotonic() - started, rate=rate))
            case Generate() if generator is not None:
                generator.run(command)
            case Exit():
                return 0
            case _:
                channel.send(Log(level="error", message=f"{command.type} came before a model was loaded"))


def _beat(channel: Channel) -> None:
    """Report memory every second: the engine takes silence for a hang."""
    process = psutil.Process()
    while True:
        # A lack of memory is for the thread that computes to report; this one must not end of it.
        with contextlib.suppress(MemoryError):
            channel.send(_memory(process))
        time.sleep(HEARTBEAT_SECONDS)


def _memory(process: psutil.Process) -> Memory:
    import torch

    memory = Memory(resident_bytes=process.memory_info().rss)
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        memory = Memory(
            resident_bytes=memory.resident_bytes,
            allocated_bytes=torch.cuda.memory_allocated(),
            reserved_bytes=torch.cuda.memory_reserved(),
            peak_bytes=torch.cuda.max_memory_reserved(),
        )
    return memory
