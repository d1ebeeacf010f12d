"""How long will it take on a device that nobody measured: exact operation and byte counts against published rates.

Every stage is the sum of its kernel classes, each of them the larger of its compute and its memory time; moving
weights over the host link adds to that, or hides behind it where the plan overlaps the two. Constants and their
sources are in ``catalog/efficiency.toml``; nothing here is fitted to runs of this host (see ``calibration``).
"""

from dataclasses import dataclass
from functools import cached_property

from wan_tui.core.catalog import Component, Model
from wan_tui.core.catalog.efficiency import Efficiency, KernelShares, load_efficiency
from wan_tui.core.catalog.gpus import GpuModel
from wan_tui.core.planning.duration import WRITE_PIXELS_PER_SECOND, forward_flop, steps_by_expert
from wan_tui.core.planning.memory import PROMPT_TOKENS
from wan_tui.core.planning.plan import Bounds, Clip, ExecutionPlan, StageSeconds, TimeEstimate
from wan_tui.core.words import Basis, OffloadMode, Phase, Precision, Quantization, StepCache


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuModel:
    """A processor as a device: what its matrix products in fp32 were measured to reach, in operations a second.

    ``memory_bytes_per_second`` is its memory bandwidth, None for that of a plain host.
    """

    matmul_flop_per_second: float
    memory_bytes_per_second: float | None = None


Device = GpuModel | CpuModel


@dataclass(frozen=True, slots=True, kw_only=True)
class StageCost:
    """Seconds of one stage, and what they are made of (before overlapping).

    ``compute_seconds`` are matrix products, attention and convolutions; ``memory_seconds`` what streams through
    device memory beside them; ``transfer_seconds`` weights over the host link and, on several GPUs, exchanges.
    """

    stage: Phase
    compute_seconds: float
    memory_seconds: float
    transfer_seconds: float
    seconds: Bounds


@dataclass(frozen=True, slots=True, kw_only=True)
class RooflineEstimate:
    """Modelled seconds of one generation. ``load`` (once per deployment, from disk to ready) is not in ``total``."""

    load: Bounds
    stages: tuple[StageCost, ...]
    step_seconds: tuple[tuple[Phase, float], ...]

    @property
    def total(self) -> Bounds:
        """All stages; their ends are added, as if all were wrong in the same direction."""
        low, expected, high = (
            sum(getattr(stage.seconds, end) for stage in self.stages) for end in ("low", "expected", "high")
        )
        return Bounds(low, expected, high)

    @property
    def transfer_seconds(self) -> float:
        """Traffic over links in all stages, whether or not it hides behind computing."""
        return sum(stage.transfer_seconds for stage in self.stages)

    @property
    def time(self) -> TimeEstimate:
        """The same figures in the form that a measured device gives (``duration.estimate_time``)."""
        stages = tuple(StageSeconds(stage.stage, stage.seconds.expected) for stage in self.stages)
        return TimeEstimate(basis=Basis.MODELLED, total_seconds=self.total, stages=stages)


def estimate_on_device(
    model: Model,
    device: Device,
    plan: ExecutionPlan,
    clip: Clip,
    *,
    with_image: bool | None = None,
    gpus: int = 1,
    sharded: bool = False,
    host: CpuModel | None = None,
    shares: KernelShares | None = None,
    efficiency: Efficiency | None = None,
) -> RooflineEstimate:
    """Modelled seconds of making ``clip`` (``plan.batch`` times at once) with ``plan`` on ``device``.

    ``gpus`` is the degree of sequence parallelism of the transformer, ``sharded`` whether its weights lie split over
    them too, ``host`` the processor for what the plan leaves on it, ``with_image`` whether a picture is encoded
    (default: when the model needs one). ``shares`` replaces the kernel shares of the device's generation.
    """
    work = _Work(
        model=model,
        device=device,
        plan=plan,
        clip=clip,
        gpus=max(gpus, 1),
        sharded=sharded,
        host=host,
        given_shares=shares,
        efficiency=efficiency or load_efficiency(),
    )
    per_step = work.step()
    stages = [work.text_encode()]
    if model.task.needs_image if with_image is None else with_image and model.task.takes_image:
        stages.append(work.image_encode())
    experts = steps_by_expert(model, clip.steps)
    stages += [work.denoise(phase, count, per_step) for phase, count in experts]
    stages += [work.decode(), work.write()]
    return RooflineEstimate(
        load=work.load(),
        stages=tuple(stages),
        step_seconds=tuple((phase, per_step.seconds) for phase, _ in experts),
    )


@dataclass(frozen=True, slots=True)
class _Cost:
    compute: float
    memory: float
    transfer: float
    overlapped: bool = False

    @property
    def seconds(self) -> float:
        busy = self.compute + self.memory
        return max(busy, self.transfer) if self.overlapped else busy + self.transfer


@dataclass(frozen=True, kw_only=True)
class _Work:
    model: Model
    device: Device
    plan: ExecutionPlan
    clip: Clip
    gpus: int
    sharded: bool
    host: CpuModel | None
    given_shares: KernelShares | None
    efficiency: Efficiency

    # -- the device -----------------------------------------------------------------------------------------------

    @cached_property
    def shares(self) -> KernelShares:
        if self.given_shares is not None:
            return self.given_shares
        if isinstance(self.device, CpuModel):
            return self.efficiency.shares["cpu"]
        return self.efficiency.of(self.device)

    @cached_property
    def peak(self) -> float:
        """Dense operations a second in the format that the transformer computes in."""
        if isinstance(self.device, CpuModel):
            return self.device.matmul_flop_per_second
        return self._rate(self.device, self.plan.precision)

    def _rate(self, gpu: GpuModel, precision: Precision) -> float:
        dense = gpu.dense_op_per_second * gpu.sustained_share
        if precision is Precision.FP32:
            return dense * (self.efficiency.tf32_rate if gpu.supports_bf16 else self.efficiency.fp32_rate_before_ampere)
        if precision is Precision.BF16 and not gpu.supports_bf16:
            return dense * self.efficiency.fp32_rate_before_ampere  # emulated on CUDA cores
        return dense

    @cached_property
    def bandwidth(self) -> float:
        if isinstance(self.device, CpuModel):
            return self.device.memory_bytes_per_second or self.efficiency.cpu_bytes_per_second
        return self.device.bandwidth_bytes_per_second * self.efficiency.bandwidth_share

    def _link(self, *, pinned: bool) -> float:
        if isinstance(self.device, CpuModel):
            return float("inf")
        share = self.efficiency.pinned_share if pinned else self.efficiency.pageable_share
        return self.device.host_link_bytes_per_second * share

    def _bounds(self, seconds: float, *kinds: str) -> Bounds:
        spread = 1.0 if isinstance(self.device, CpuModel) else self.device.rate_spread
        for kind in kinds:
            spread *= self.efficiency.spread[kind]
        return Bounds(seconds / spread, seconds, seconds * spread)

    def _stage(self, stage: Phase, cost: _Cost, *kinds: str, extra_transfer: float = 0.0) -> StageCost:
        busy = self._bounds(cost.seconds, *kinds)
        moved = self._bounds(extra_transfer, "transfer")
        return StageCost(
            stage=stage,
            compute_seconds=cost.compute,
            memory_seconds=cost.memory,
            transfer_seconds=cost.transfer + extra_transfer,
            seconds=Bounds(busy.low + moved.low, busy.expected + moved.expected, busy.high + moved.high),
        )

    # -- weights --------------------------------------------------------------------------------------------------

    def _stored_bytes(self, component: Component) -> float:
        """Bytes of a component as the plan stores it."""
        if component is self.model.vae:
            return component.bytes(self.plan.vae_precision)
        text = component is self.model.text_encoder
        quantization = self.plan.text_encoder_quantization if text else self.plan.quantization
        if quantization is Quantization.NONE:
            return component.bytes(self.plan.precision)
        return component.parameters * self.efficiency.quantization[quantization].stored_bytes

    def _visit_seconds(self, component: Component) -> float:
        """Bringing a component to the device once in a generation, and back where offload copies it back."""
        stored, offload = self._stored_bytes(component), self.plan.offload
        if offload is OffloadMode.NONE:
            return 0.0
        if offload is OffloadMode.MODEL:
            return 2 * stored / self._link(pinned=False)
        return self._pass_seconds(component)

    def _pass_seconds(self, component: Component) -> float:
        """Moving a component through the device once, in pieces, as each of its forward passes does."""
        stored, offload = self._stored_bytes(component), self.plan.offload
        if offload is OffloadMode.SEQUENTIAL:
            hooks = self._leaves(component) * self.efficiency.sequential_seconds_per_leaf
            return stored / self._link(pinned=False) + (0.0 if isinstance(self.device, CpuModel) else hooks)
        if offload in (OffloadMode.GROUP_BLOCK, OffloadMode.GROUP_LEAF):
            # A stream needs pinned copies that stay on the host; without one every group is copied back.
            if self.plan.offload_stream:
                return stored / self._link(pinned=True)
            return 2 * stored / self._link(pinned=False)
        return 0.0

    @staticmethod
    def _leaves(component: Component) -> int:
        layers = component.config.get("num_layers", 10)
        return int(layers) * 20

    @property
    def _streams(self) -> bool:
        return self.plan.offload_stream and self.plan.offload in (OffloadMode.GROUP_BLOCK, OffloadMode.GROUP_LEAF)

    # -- stages ---------------------------------------------------------------------------------------------------

    def load(self) -> Bounds:
        """From disk to ready: reading what was published, converting, and moving what stays on the device."""
        components = [component for _, component in self.model.components]
        disk = sum(component.published_bytes for component in components) / self.efficiency.disk_bytes_per_second
        resident = self.plan.offload is OffloadMode.NONE
        moved = sum(self._stored_bytes(component) for component in components) / self._link(pinned=False)
        return self._bounds(self.efficiency.load_floor_seconds + disk + (moved if resident else 0.0), "load")

    def text_encode(self) -> StageCost:
        """The prompt, and the negative prompt when guidance is on, one after the other."""
        encoder, prompts = self.model.text_encoder, self.plan.batch * self._passes
        embedding = encoder.config["vocab_size"] * encoder.config["d_model"]
        flop = 2.0 * (encoder.parameters - embedding) * PROMPT_TOKENS * prompts
        stored = self._stored_bytes(encoder)
        if self.plan.text_encoder_on_cpu and not isinstance(self.device, CpuModel):
            rate = self.host.matmul_flop_per_second if self.host else self.efficiency.host_flop_per_second
            return self._stage(Phase.TEXT_ENCODE, _Cost(flop / rate, 0.0, 0.0), "text")
        rate = self.peak * self.efficiency.text_encoder_share
        widened = encoder.parameters * self.efficiency.quantization[self.plan.text_encoder_quantization].widening_bytes
        memory = (stored + widened) * self._passes / self.bandwidth
        cost = _Cost(max(flop / rate, memory), 0.0, 0.0)
        return self._stage(Phase.TEXT_ENCODE, cost, "text", extra_transfer=self._visit_seconds(encoder))

    def image_encode(self) -> StageCost:
        """The conditioning picture; A14B encodes it with all the empty frames of the clip behind it."""
        frames = 1 if self.model.expand_timesteps else self.model.latent_frames(self.clip.frames)
        share = _ENCODER_SHARE_2_2 if self.model.expand_timesteps else _ENCODER_SHARE_2_1
        return self._vae_stage(Phase.IMAGE_ENCODE, share * frames, moved=self._visit_seconds(self.model.vae))

    def step(self) -> _Cost:
        """One denoising step: one forward pass, two with guidance."""
        one = self._forward()
        times = self._passes
        return _Cost(one.compute * times, one.memory * times, one.transfer * times, one.overlapped)

    def denoise(self, phase: Phase, steps: int, step: _Cost) -> StageCost:
        """``steps`` steps of one expert, and bringing that expert in."""
        run = steps * self.efficiency.cache[self.plan.cache]
        cost = _Cost(step.compute * run, step.memory * run, step.transfer * run, step.overlapped)
        kinds = ("denoise",) if self.plan.cache is StepCache.NONE else ("denoise", "cached")
        visit = self._visit_seconds(self.model.transformer) if self.plan.offload is OffloadMode.MODEL and steps else 0.0
        return self._stage(phase, cost, *kinds, extra_transfer=visit)

    def decode(self) -> StageCost:
        """All latent frames through the decoder."""
        frames = self.model.latent_frames(self.clip.frames)
        return self._vae_stage(Phase.VAE_DECODE, frames, moved=self._visit_seconds(self.model.vae))

    def write(self) -> StageCost:
        """Encoding the clip as video on the host."""
        pixels = self.clip.width * self.clip.height * self.clip.frames * self.plan.batch
        return self._stage(Phase.WRITE_OUTPUT, _Cost(pixels / WRITE_PIXELS_PER_SECOND, 0.0, 0.0), "write")

    @property
    def _passes(self) -> int:
        return 2 if self.clip.guidance > 1.0 else 1

    def _vae_stage(self, stage: Phase, latent_frames: float, *, moved: float) -> StageCost:
        rate = self.peak if isinstance(self.device, CpuModel) else self._rate(self.device, self.plan.vae_precision)
        flop = decode_flop_per_pixel(self.model) * self.clip.width * self.clip.height * latent_frames
        flop *= self.plan.batch * (self.efficiency.tiling_overhead if self.plan.vae_tiling else 1.0)
        return self._stage(
            stage, _Cost(flop / (rate * self.efficiency.vae_share), 0.0, 0.0), "vae", extra_transfer=moved
        )

    def _forward(self) -> _Cost:
        """One pass of one expert over all tokens of the batch."""
        model, plan, table = self.model, self.plan, self.efficiency
        transformer = model.transformer
        config = transformer.config
        width, layers = config["num_attention_heads"] * config["attention_head_dim"], config["num_layers"]
        tokens = model.tokens(self.clip.width, self.clip.height, self.clip.frames)
        attention = 4.0 * layers * width * tokens * (tokens + PROMPT_TOKENS)
        matmul = forward_flop(model, tokens) - attention
        split = plan.batch / self.gpus
        # Matrix products read the widened weights at least once.
        weights = transformer.parameters * plan.precision.bytes_per_parameter
        matmul_seconds = max(matmul * split / (self.peak * self.shares.matmul), weights / self.bandwidth)
        attention_seconds = attention * split / (self.peak * self.shares.attention_share(plan.attention))
        per_value = table.elementwise_bytes * plan.precision.bytes_per_parameter / 2
        if model.expand_timesteps:
            per_value += table.elementwise_bytes_per_token_time
        elementwise = per_value * tokens * width * layers * split
        widening = transformer.parameters * table.quantization[plan.quantization].widening_bytes
        memory_seconds = (elementwise + widening) / self.bandwidth
        compute_seconds = matmul_seconds + attention_seconds
        if not isinstance(self.device, CpuModel):
            # Eager Python launches ahead of the device unless the device is faster.
            compute_seconds = max(compute_seconds, layers * table.launch_seconds_per_block - memory_seconds)
        exchanged = self._exchange_seconds(tokens * width * layers * plan.batch, self._stored_bytes(transformer))
        moved = self._pass_seconds(transformer)
        if self._streams:
            return _Cost(compute_seconds, memory_seconds + exchanged, moved, overlapped=True)
        return _Cost(compute_seconds, memory_seconds, moved + exchanged)

    def _exchange_seconds(self, values: float, weights: float) -> float:
        """Between GPUs, in one pass; nothing hides behind computing.

        Ulysses: queries, keys, values and outputs change from split tokens to split heads, in 16 bit. Split weights
        are gathered by every GPU.
        """
        if self.gpus == 1 or isinstance(self.device, CpuModel):
            return 0.0
        peer = self.device.peer_link_bytes_per_second
        if peer is None:
            rate = self.device.host_link_bytes_per_second * self.efficiency.peer_pcie_share
        else:
            rate = peer * self.efficiency.peer_share
        others = (self.gpus - 1) / self.gpus
        return (4 * 2 * values / self.gpus + (weights if self.sharded else 0.0)) * others / rate


# Decoding, in operations per pixel and latent frame, as counted on the diffusers modules (VAE 2.1, VAE 2.2); other
# widths scale with the square. An encoder has two residual blocks per level where the decoder has three.
_DECODE_FLOP_2_1, _DECODE_WIDTH_2_1 = 34.0e6, 96
_DECODE_FLOP_2_2, _DECODE_WIDTH_2_2 = 73.6e6, 256
_ENCODER_SHARE_2_1 = 0.6
_ENCODER_SHARE_2_2 = 0.3


def decode_flop_per_pixel(model: Model) -> float:
    """Operations of the VAE decoder per pixel and latent frame."""
    config = model.vae.config
    if config["is_residual"]:
        width = config.get("decoder_base_dim") or config["base_dim"]
        return float(_DECODE_FLOP_2_2 * (width / _DECODE_WIDTH_2_2) ** 2)
    return float(_DECODE_FLOP_2_1 * (config["base_dim"] / _DECODE_WIDTH_2_1) ** 2)
