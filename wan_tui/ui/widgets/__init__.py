"""Widgets that draw by line, so that only rows that differ are sent."""
