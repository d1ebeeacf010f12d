"""How long will it take on a device that nobody measured: exact operation and byte counts against published rates.

Every stage is the sum of its kernel classes, each of them the larger of its compute and its memory time; moving
weights over the host link adds to that, or hides behind it where the plan overlaps the two. Constants and their
sources are in ``catalog/efficiency.toml``; nothing here is fitted to runs of this host (see ``calibration``).
"""

from dataclasses import dataclass, replace
from functools import cached_property

from wan_tui.core.catalog import Component, Model
from wan_tui.core.catalog.efficiency import Efficiency, KernelShares, load_efficiency
from wan_tui.core.catalog.gpus import GpuModel
from wan_tui.core.planning.activations import PROMPT_TOKENS
from wan_tui.core.planning.duration import WRITE_PIXELS_PER_SECOND, steps_by_expert
from wan_tui.core.planning.flops import decode_flop, encode_flop, forward_flop, text_encode_flop
from wan_tui.core.planning.measured import Reference, corrected, reference_of
from wan_tui.core.planning.plan import Bounds, Clip, ExecutionPlan, StageSeconds, TimeEstimate
from wan_tui.core.planning.step_cache import computed_passes
from wan_tui.core.planning.tiles import decode_tiles, encode_tiles
from wan_tui.core.words import Basis, OffloadMode, Phase, Precision, Quantization


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
    """Modelled seconds of one generation.

    ``load`` (once per deployment, from disk to ready) is not in ``total``. ``step_seconds`` is one step of each expert
    that takes any, without what a step cache saves. ``factors`` are what measurements of such a card made of the
    model's seconds, by stage, and ``report`` names them (None: the model alone).
    """

    load: Bounds
    stages: tuple[StageCost, ...]
    step_seconds: tuple[tuple[Phase, Bounds], ...]
    factors: tuple[tuple[Phase, float], ...] = ()
    report: str | None = None

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
        return TimeEstimate(basis=Basis.MODELLED, total_seconds=self.total, stages=stages, report=self.report)


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
    reference: Reference | None = None,
) -> RooflineEstimate:
    """Modelled seconds of making ``clip`` (``plan.batch`` times at once) with ``plan`` on ``device``.

    ``gpus`` is the degree of sequence parallelism of the transformer, ``sharded`` whether its weights lie split over
    them too, ``host`` the processor for what the plan leaves on it, ``with_image`` whether a picture is encoded
    (default: when the model needs one). ``shares`` replaces the kernel shares of the device's generation,
    ``reference`` what was measured of such a card (default: what comes with the package, for one alone).
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
    step = work.step()
    stages = [work.text_encode()]
    if model.task.needs_image if with_image is None else with_image and model.task.takes_image:
        stages.append(work.image_encode())
    experts = steps_by_expert(model, clip.steps)
    one_step = work.bounds(step.seconds, *work.denoise_kinds)
    stages += [work.denoise(phase, count, step) for phase, count in experts]
    stages += [work.decode(), work.write()]
    modelled = RooflineEstimate(
        load=work.load(),
        stages=tuple(stages),
        step_seconds=tuple((phase, one_step) for phase, count in experts if count),
    )
    if reference is None and isinstance(device, GpuModel) and not device.bounded and work.gpus == 1:
        reference = reference_of(device.name)
    return modelled if reference is None else corrected(modelled, model.id, reference)


# The decoder's share of a VAE's weights, by ``is_residual`` (2.1, 2.2): 73.3 of 126.9 and 555.0 of 704.7 million.
_DECODER_SHARE = {False: 0.58, True: 0.79}


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
        """Dense operations a second; fp32 counts as TF32, which is what cuDNN makes of it by default."""
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

    def bounds(self, seconds: float, *kinds: str) -> Bounds:
        spread = self.efficiency.spread["cpu"] if isinstance(self.device, CpuModel) else self.device.rate_spread
        for kind in kinds:
            spread *= self.efficiency.spread[kind]
        return Bounds(seconds / spread, seconds, seconds * spread)

    def _stage(self, stage: Phase, cost: _Cost, *kinds: str, extra_transfer: float = 0.0) -> StageCost:
        busy = self.bounds(cost.seconds, *kinds)
        moved = self.bounds(extra_transfer, "transfer")
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
        """Model offload brings a component to the device once in a generation, and copies it back."""
        if self.plan.offload is not OffloadMode.MODEL:
            return 0.0
        return 2 * self._stored_bytes(component) / self._link(pinned=False)

    def _pass_seconds(self, component: Component) -> float:
        """Piecewise offload moves a component through the device in every forward pass."""
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
        compiling = self.efficiency.compile_seconds if self.plan.compile else 0.0
        return self.bounds(self.efficiency.load_floor_seconds + disk + (moved if resident else 0.0) + compiling, "load")

    def text_encode(self) -> StageCost:
        """The prompt, and the negative prompt when guidance is on, one after the other."""
        encoder = self.model.text_encoder
        flop = text_encode_flop(self.model) * self.plan.batch * self._passes
        stored = self._stored_bytes(encoder)
        if self.plan.text_encoder_on_cpu and not isinstance(self.device, CpuModel):
            rate = self.host.matmul_flop_per_second if self.host else self.efficiency.host_flop_per_second
            return self._stage(Phase.TEXT_ENCODE, _Cost(flop / rate, 0.0, 0.0), "text")
        rate = self.peak * self.efficiency.text_encoder_share
        widened = encoder.parameters * self.efficiency.quantization[self.plan.text_encoder_quantization].widening_bytes
        memory = (stored + widened) * self._passes / self.bandwidth
        cost = _Cost(max(flop / rate, memory), 0.0, 0.0)
        moved = self._visit_seconds(encoder) or self._pass_seconds(encoder) * self._passes
        return self._stage(Phase.TEXT_ENCODE, cost, "text", extra_transfer=moved)

    def image_encode(self) -> StageCost:
        """The conditioning picture, once for each video; A14B encodes the empty frames of the clip behind it."""
        clip, tiled = self.clip, self.plan.vae_tiling
        frames = 1 if self.model.expand_timesteps else clip.frames
        flop = encode_flop(self.model, clip.width, clip.height, frames, tiled=tiled) * self.plan.batch
        tiles = len(encode_tiles(self.model.vae, clip.width, clip.height)) if tiled else 1
        share = 1 - _DECODER_SHARE[bool(self.model.vae.config["is_residual"])]
        return self._vae_stage(Phase.IMAGE_ENCODE, flop, tiles * self.model.latent_frames(frames) * share)

    def step(self) -> _Cost:
        """One denoising step: one forward pass, two with guidance."""
        one = self._forward()
        times = self._passes
        return _Cost(one.compute * times, one.memory * times, one.transfer * times, one.overlapped)

    def denoise(self, phase: Phase, steps: int, step: _Cost) -> StageCost:
        """``steps`` steps of one expert, less what a step cache saves, and bringing that expert in."""
        passes = computed_passes(self.plan.cache, steps, self.model.transformer.config["num_layers"])
        run = passes.expected
        cost = _Cost(step.compute * run, step.memory * run, step.transfer * run, step.overlapped)
        visit = self._visit_seconds(self.model.transformer) if steps else 0.0
        stage = self._stage(phase, cost, *self.denoise_kinds, extra_transfer=visit)
        if not run:
            return stage
        # Nobody knows before how many passes are saved: from all that can be to none. The expert is brought in once.
        moved = self.bounds(visit, "transfer")
        low = moved.low + (stage.seconds.low - moved.low) * passes.low / run
        high = moved.high + (stage.seconds.high - moved.high) * passes.high / run
        return replace(stage, seconds=Bounds(low, stage.seconds.expected, high))

    @property
    def denoise_kinds(self) -> tuple[str, ...]:
        return ("denoise", "compiled") if self.plan.compile else ("denoise",)

    def decode(self) -> StageCost:
        """All latent frames through the decoder, one after the other, tile by tile."""
        clip, tiled = self.clip, self.plan.vae_tiling
        flop = decode_flop(self.model, clip.width, clip.height, clip.frames, tiled=tiled) * self.plan.batch
        tiles = len(decode_tiles(self.model.vae, clip.width, clip.height)) if tiled else 1
        share = _DECODER_SHARE[bool(self.model.vae.config["is_residual"])]
        return self._vae_stage(Phase.VAE_DECODE, flop, tiles * self.model.latent_frames(clip.frames) * share)

    def write(self) -> StageCost:
        """Encoding the clip as video on the host."""
        pixels = self.clip.width * self.clip.height * self.clip.frames * self.plan.batch
        return self._stage(Phase.WRITE_OUTPUT, _Cost(pixels / WRITE_PIXELS_PER_SECOND, 0.0, 0.0), "write")

    @property
    def _passes(self) -> int:
        return 2 if self.clip.guidance > 1.0 else 1

    def _vae_stage(self, stage: Phase, flop: float, rounds: float) -> StageCost:
        """``rounds``: how many times over all weights of the VAE are used, and moved when they come in pieces."""
        vae = self.model.vae
        rate = self.peak if isinstance(self.device, CpuModel) else self._rate(self.device, self.plan.vae_precision)
        seconds = flop / (rate * self.efficiency.vae_share)
        cost = _Cost(seconds, 0.0, self._pass_seconds(vae) * rounds, self._streams)
        return self._stage(stage, cost, "vae", extra_transfer=self._visit_seconds(vae))

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
        launches = layers * table.launch_seconds_per_block
        if plan.compile:
            elementwise *= table.compiled_elementwise_share
            launches *= table.compiled_launch_share
        widening = transformer.parameters * table.quantization[plan.quantization].widening_bytes
        memory_seconds = (elementwise + widening) / self.bandwidth
        compute_seconds = matmul_seconds + attention_seconds
        if not isinstance(self.device, CpuModel):
            # Eager Python launches ahead of the device unless the device is faster.
            compute_seconds = max(compute_seconds, launches - memory_seconds)
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
