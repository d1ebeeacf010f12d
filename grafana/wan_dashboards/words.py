"""The words of enum metrics with the colours that they have on every dashboard, in the order of their codes."""

from collections.abc import Mapping

from wan_tui.core.words import LoadState, Phase, Verdict

STATE: Mapping[str, str] = {
    LoadState.UNLOADED: "text",
    LoadState.LOADING: "blue",
    LoadState.LOADED: "green",
    LoadState.UNLOADING: "yellow",
    LoadState.FAILED: "red",
}
VERDICT: Mapping[str, str] = {
    Verdict.FITS: "green",
    Verdict.TIGHT: "yellow",
    Verdict.OFFLOAD_REQUIRED: "blue",
    Verdict.INCOMPATIBLE: "red",
    Verdict.UNKNOWN: "text",
}
PHASE: Mapping[str, str] = {
    Phase.IDLE: "text",
    Phase.TEXT_ENCODE: "yellow",
    Phase.IMAGE_ENCODE: "orange",
    Phase.DENOISE_HIGH_NOISE: "blue",
    Phase.DENOISE_LOW_NOISE: "light-blue",
    Phase.VAE_DECODE: "purple",
    Phase.WRITE_OUTPUT: "green",
}
# In the order of their weight; what is not named is not held down.
THROTTLE: Mapping[str, str] = {
    "nothing": "green",
    "sw_thermal_slowdown": "yellow",
    "hw_slowdown": "orange",
    "hw_thermal_slowdown": "red",
    "hw_power_brake_slowdown": "purple",
}
RECOVERY: Mapping[str, str] = {
    "none": "green",
    "drain_p2p": "yellow",
    "drain_and_reset": "orange",
    "gpu_reset": "orange",
    "node_reboot": "red",
    "other": "purple",
}
UP: Mapping[str, str] = {"down": "red", "up": "green"}
YES: Mapping[str, str] = {"no": "green", "yes": "red"}
