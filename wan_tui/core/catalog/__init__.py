"""What exists: models and their components, as data with sources."""

from wan_tui.core.catalog.models import Catalogue, Component, Model, load_catalogue

__all__ = ["Catalogue", "Component", "Model", "load_catalogue"]
