"""What the compatibility screen wants to know: a shape, rows, columns, and the questions that they make. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wan_tui.core.planning.questions import Question
from wan_tui.core.words import LoadState
from wan_tui.ui import glyphs
from wan_tui.ui.format_matrix import HERE, Cell, Place

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from wan_tui.core.planning.questions import Assessment
    from wan_tui.core.snapshot import Snapshot

OWN = "model's own"
# About a tenth of a second of planning: what is asked for meanwhile waits no longer.
AT_ONCE = 14
_SIDES = (
    (256, 256),
    (512, 288),
    (512, 512),
    (640, 384),
    (832, 480),
    (480, 832),
    (960, 544),
    (1024, 576),
    (1280, 704),
    (704, 1280),
    (1280, 720),
    (720, 1280),
)
SIZES = (OWN, *(f"{width}{glyphs.TIMES}{height}" for width, height in _SIDES))
FRAMES = (OWN, *(str(4 * k + 1) for k in range(1, 41)))
STEPS = (OWN, *(str(steps) for steps in range(1, 61)))


@dataclass(frozen=True, slots=True)
class Shape:
    """What is to be made; None is as the model does it."""

    width: int | None = None
    height: int | None = None
    frames: int | None = None
    steps: int | None = None


def shape_of(size: str | None, frames: str | None, steps: str | None) -> Shape:
    """The shape that the sliders say."""
    width, height = _SIDES[SIZES.index(size) - 1] if size in SIZES[1:] else (None, None)
    return Shape(width, height, _number(frames), _number(steps))


def _number(value: str | None) -> int | None:
    return int(value) if value is not None and value.isdigit() else None


def places(usual: Iterable[str], card: str | None, cards: Mapping[str, str]) -> tuple[Place, ...]:
    """This host first, the card that was chosen next, then the usual ones."""
    names = dict.fromkeys(name for name in (card, *usual) if name is not None)
    return (Place(HERE), *(Place(name, cards[name]) for name in names))


def rows(snapshot: Snapshot) -> tuple[tuple[str, str], ...]:
    """Every model with every profile that uses a GPU, deployed models first."""
    deployed = {deployment.model for deployment in snapshot.deployments}
    models = sorted(snapshot.models, key=lambda model: model.id not in deployed)
    profiles = [profile.name for profile in snapshot.profiles if not profile.cpu_only]
    return tuple((model.id, profile) for model in models for profile in profiles)


def question(cell: Cell, shape: Shape, *, remedies: bool) -> Question:
    return Question(
        model=cell.model,
        profile=cell.profile,
        gpu=cell.place.gpu,
        width=shape.width,
        height=shape.height,
        frames=shape.frames,
        steps=shape.steps,
        remedies=remedies,
    )


def missing(
    all_rows: Sequence[tuple[str, str]],
    shown: Sequence[Place],
    first: tuple[str, str] | None,
    answers: Mapping[Cell, Assessment],
) -> list[Cell]:
    """Cells without an answer: the row of the cursor first, then its model, then the others."""

    def far(row: tuple[str, str]) -> int:
        return 0 if row == first else 1 if first is not None and row[0] == first[0] else 2

    return list(_missing(sorted(all_rows, key=far), shown, answers))


def _missing(
    ordered: Sequence[tuple[str, str]], shown: Sequence[Place], answers: Mapping[Cell, Assessment]
) -> Iterator[Cell]:
    for model, profile in ordered:
        for place in shown:
            cell = Cell(model, profile, place)
            if cell not in answers:
                yield cell


def state_of_host(snapshot: Snapshot) -> tuple[object, ...]:
    """What the answers for this host depend on, coarse enough not to change by itself."""
    free = tuple((gpu.uuid, gpu.up, (gpu.memory_free_bytes or 0) >> 30) for gpu in snapshot.gpus)
    loaded = tuple(d.name for d in snapshot.deployments if d.state is LoadState.LOADED)
    return (free, loaded, snapshot.config.last_success_at)
