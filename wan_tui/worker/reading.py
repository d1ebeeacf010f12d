"""One component of a model from disk, in the way that copies least: mapped where the formats match."""

import json
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from accelerate import init_empty_weights
from diffusers import AutoencoderKLWan, WanPipeline, WanTransformer3DModel
from diffusers.loaders.single_file_utils import convert_wan_transformer_to_diffusers
from safetensors import SafetensorError
from safetensors.torch import load_file

from wan_tui.core.catalog import Component
from wan_tui.core.planning.plan import ExecutionPlan
from wan_tui.core.runtime.protocol import Load, Lora
from wan_tui.core.validation.safetensors_header import Fault
from wan_tui.core.words import LoadFailureReason, LoraExpert, Precision, Quantization
from wan_tui.worker.failures import LoadError, is_out_of_memory
from wan_tui.worker.formats import FP8, how_read, is_prepared_fp8, kept_in_fp32
from wan_tui.worker.watched import weight_files

DTYPES = {Precision.FP32: torch.float32, Precision.FP16: torch.float16, Precision.BF16: torch.bfloat16}
# What the libraries raise for a file that is damaged or of another model.
_UNFIT = (ValueError, KeyError, RuntimeError, OSError, SafetensorError)
_EXPERTS = {"transformer": LoraExpert.HIGH_NOISE, "transformer_2": LoraExpert.LOW_NOISE}


@dataclass(frozen=True, slots=True)
class Source:
    """Where the components come from: a folder or hub repository, single files by role, LoRAs."""

    place: str
    files: Mapping[str, str] = field(default_factory=dict)
    loras: tuple[Lora, ...] = ()

    @classmethod
    def of(cls, command: Load, place: str) -> "Source":
        named = {"transformer": command.transformer, "transformer_2": command.transformer_2}
        return cls(place, {role: file for role, file in named.items() if file}, command.loras)

    def weights(self, role: str) -> list[Path]:
        """The files that hold the weights of ``role``; none for a hub repository that is not a folder."""
        return [Path(self.files[role])] if role in self.files else weight_files(Path(self.place, role))


def describe(role: str, component: Component, source: Source, plan: ExecutionPlan) -> str:
    """How the component will be read: ``mapped``, ``cast from F32``, ``quantized to int8``, ``q8_0 from name.gguf``."""
    files = source.weights(role)
    if not files:
        return ""
    if role in source.files and files[0].suffix.casefold() == ".gguf":
        return f"{plan.quantization} from {files[0].name}"
    if component.class_name == "AutoencoderKLWan":
        return how_read(component, files, DTYPES[plan.vae_precision])
    quantization = plan.quantization
    if component.class_name == "UMT5EncoderModel":
        quantization = plan.text_encoder_quantization
    if quantization is Quantization.FP8 and not _is_prepared(role, source, plan):
        how = how_read(component, files, DTYPES[plan.precision])
        return "cast to fp8" if how == "mapped" else how
    if quantization not in (Quantization.NONE, Quantization.FP8):
        return f"quantized to {quantization}"
    return "mapped" if quantization is Quantization.FP8 else how_read(component, files, DTYPES[plan.precision])


def read_component(role: str, component: Component, source: Source, plan: ExecutionPlan) -> Any:
    """The network of ``role`` with its weights. Raises LoadError, and what the libraries raise."""
    keywords: dict[str, Any] = {"subfolder": role, "local_files_only": True}
    if component.class_name == "AutoencoderKLWan":
        return AutoencoderKLWan.from_pretrained(source.place, dtype=DTYPES[plan.vae_precision], **keywords)
    dtype = DTYPES[plan.precision]
    if component.class_name == "UMT5EncoderModel":
        if plan.text_encoder_quantization is not Quantization.NONE:
            keywords["quantization_config"] = _nf4(transformers.BitsAndBytesConfig, dtype)
        return transformers.UMT5EncoderModel.from_pretrained(source.place, dtype=dtype, **keywords)
    if role in source.files:
        transformer = _from_file(Path(source.files[role]), component, plan, dtype)
    elif _is_prepared(role, source, plan):
        transformer = _mapped(component, Path(source.place, role))
    else:
        if (config := _quantization_config(plan, dtype)) is not None:
            keywords["quantization_config"] = config
        transformer = WanTransformer3DModel.from_pretrained(source.place, dtype=dtype, **keywords)
    # Before anything is cast to 8 bit: the layers that a LoRA adds compute in the precision of what they wrap.
    _add_loras(role, transformer, source.loras)
    if plan.quantization is Quantization.FP8:
        transformer.enable_layerwise_casting(storage_dtype=FP8, compute_dtype=dtype)
    return transformer


def _is_prepared(role: str, source: Source, plan: ExecutionPlan) -> bool:
    if plan.quantization is not Quantization.FP8 or role not in _EXPERTS or role in source.files or source.loras:
        return False
    try:
        return is_prepared_fp8(source.weights(role))
    except (Fault, OSError):
        return False


def _mapped(component: Component, folder: Path) -> WanTransformer3DModel:
    """The weights in ``folder`` exactly as they are stored; from_pretrained would widen 8-bit ones."""
    return _assigned(
        component, {name: tensor for file in weight_files(folder) for name, tensor in load_file(file).items()}
    )


def _assigned(component: Component, weights: Mapping[str, torch.Tensor]) -> WanTransformer3DModel:
    """The network over ``weights`` themselves, none of them copied. Raises RuntimeError when they do not fit."""
    with init_empty_weights():
        transformer = WanTransformer3DModel(**component.config)
    transformer.load_state_dict(weights, strict=True, assign=True)
    return transformer.requires_grad_(False).eval()


def _from_file(file: Path, component: Component, plan: ExecutionPlan, dtype: torch.dtype) -> Any:
    """A transformer from a single file; the catalogue says what network it is of, since the file does not."""
    if not file.is_file():
        raise LoadError(LoadFailureReason.CHECKPOINT, f"there is no file {file}")
    keywords: dict[str, Any] = {"torch_dtype": dtype, "local_files_only": True}
    if file.suffix.casefold() == ".gguf":
        keywords["quantization_config"] = diffusers.GGUFQuantizationConfig(compute_dtype=dtype)
    elif (config := _quantization_config(plan, dtype)) is not None:
        keywords["quantization_config"] = config
    with tempfile.TemporaryDirectory(prefix="wan-tui-config-") as folder:
        config_file = Path(folder, "config.json")
        config_file.write_text(json.dumps({"_class_name": component.class_name, **component.config}))
        try:
            if "quantization_config" not in keywords:
                return _converted(file, component, dtype)
            return WanTransformer3DModel.from_single_file(str(file), config=folder, **keywords)
        except _UNFIT as error:
            if is_out_of_memory(error):
                raise
            text = " ".join(str(error).split())[:300]
            raise LoadError(LoadFailureReason.CHECKPOINT, f"{file} cannot be loaded: {text}") from error


def _converted(file: Path, component: Component, dtype: torch.dtype) -> WanTransformer3DModel:
    """As from_single_file, which at its end casts even what has to stay in fp32, and maps nothing."""
    weights = load_file(file)
    if not any(name.startswith("condition_embedder.") for name in weights):
        weights = convert_wan_transformer_to_diffusers(weights)
    formats = {name: torch.float32 if kept_in_fp32(component, dtype, name) else dtype for name in weights}
    return _assigned(component, {name: tensor.to(formats[name]) for name, tensor in weights.items()})


def _add_loras(role: str, transformer: Any, loras: Iterable[Lora]) -> None:
    """The LoRAs for this expert under one name each, with their weights."""
    wanted = {
        f"lora_{number}": lora for number, lora in enumerate(loras) if lora.expert in (LoraExpert.BOTH, _EXPERTS[role])
    }
    for name, lora in wanted.items():
        path = Path(lora.path)
        if not path.is_file():
            raise LoadError(LoadFailureReason.CHECKPOINT, f"LoRA {path}: there is no such file")
        try:
            weights = WanPipeline.lora_state_dict(str(path.parent), weight_name=path.name, local_files_only=True)
            WanPipeline.load_lora_into_transformer(weights, transformer, adapter_name=name)
        except _UNFIT as error:
            if is_out_of_memory(error):
                raise
            text = " ".join(str(error).split())[:300]
            raise LoadError(LoadFailureReason.CHECKPOINT, f"LoRA {path} does not fit {role}: {text}") from error
        if name not in getattr(transformer, "peft_config", {}):
            raise LoadError(LoadFailureReason.CHECKPOINT, f"LoRA {path}: holds no weights of a Wan transformer")
    if wanted:
        transformer.set_adapters(list(wanted), [lora.weight for lora in wanted.values()])


def _quantization_config(plan: ExecutionPlan, dtype: torch.dtype) -> Any:
    """What diffusers quantizes with while it reads; None for what needs nothing."""
    match plan.quantization:
        case Quantization.NONE | Quantization.FP8:
            return None
        case Quantization.INT8:
            from torchao.quantization import Int8WeightOnlyConfig

            return diffusers.TorchAoConfig(Int8WeightOnlyConfig())
        case Quantization.INT4 if plan.device == "cpu":
            from torchao.quantization import IntxWeightOnlyConfig
            from torchao.quantization.granularity import PerGroup

            # torchao's packed kernels need a GPU: the same values, in 8 bits each.
            return diffusers.TorchAoConfig(IntxWeightOnlyConfig(weight_dtype=torch.int4, granularity=PerGroup(32)))
        case Quantization.INT4:
            from torchao.quantization import Int4WeightOnlyConfig

            return diffusers.TorchAoConfig(Int4WeightOnlyConfig())
        case Quantization.NF4:
            return _nf4(diffusers.BitsAndBytesConfig, dtype)
    raise LoadError(
        LoadFailureReason.ENVIRONMENT,
        f"{plan.quantization} weights come from a GGUF file: name it as transformer of the deployment",
    )


def _nf4(config_class: Any, dtype: torch.dtype) -> Any:
    return config_class(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)
