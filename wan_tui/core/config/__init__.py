"""What the operator wants."""

from wan_tui.core.config.settings import DeploymentSettings, Settings, default_settings, load_settings

__all__ = ["DeploymentSettings", "Settings", "default_settings", "load_settings"]
