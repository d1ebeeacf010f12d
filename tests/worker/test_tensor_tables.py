"""Names and shapes of every component, against the real classes on torch's meta device."""

import pytest

from tests.worker.test_catalogue_counts import COMPONENTS, build
from wan_tui.core.catalog.tensors import expected_tensors


@pytest.mark.parametrize("name", COMPONENTS)
def test_tensor_tables(name: str) -> None:
    component = COMPONENTS[name]
    built = {path: tuple(tensor.shape) for path, tensor in build(component).state_dict().items()}
    assert expected_tensors(component) == built
