"""Catalogue entries that do not agree with themselves."""

import dataclasses

import pytest

from wan_tui.core.catalog import load_catalogue
from wan_tui.core.validation.catalogue import catalogue_findings
from wan_tui.core.validation.rulebook.rules import Group, rule, rules

CATALOGUE = load_catalogue()
T2V, TI2V = CATALOGUE.find("t2v-A14B"), CATALOGUE.find("ti2v-5B")


@pytest.mark.parametrize("model", CATALOGUE.models, ids=lambda model: model.id)
def test_the_built_in_models_have_no_findings(model: object) -> None:
    assert catalogue_findings(model) == ()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"default_frames": 16}, "WAN301"),
        ({"max_frames": 80}, "WAN301"),
        ({"default_size": (830, 480)}, "WAN302"),
        ({"default_size": (1920, 1088)}, "WAN302"),
        ({"boundary_ratio": None}, "WAN303"),
        ({"boundary_ratio": 1.5}, "WAN303"),
        ({"experts": 1}, "WAN303"),
        ({"vae": TI2V.vae}, "WAN304"),
        ({"text_encoder": CATALOGUE.find("t2v-pocket").text_encoder}, "WAN304"),
        ({"size_multiple": 8}, "WAN305"),
    ],
)
def test_each_mistake_has_its_rule(change: dict[str, object], code: str) -> None:
    broken = dataclasses.replace(T2V, **change)  # type: ignore[arg-type]
    assert code in {found.code for found in catalogue_findings(broken)}


def test_every_rule_is_complete_and_in_its_range() -> None:
    first = {Group.HARDWARE: "0", Group.CONFIGURATION: "1", Group.REQUEST: "2", Group.CATALOGUE: "3"}
    first |= {Group.CHECKPOINT: "4", Group.ENVIRONMENT: "5"}
    for code, entry in rules().items():
        assert code.startswith(f"WAN{first[entry.group]}"), entry
        assert len(code) == 6
        for sentence in (entry.looks_at, entry.why):
            assert sentence.endswith("."), code
        assert entry.fix, code
        assert set(entry.needs) <= rules().keys() - {code}, code
    assert rule("wan001").code == "WAN001"
