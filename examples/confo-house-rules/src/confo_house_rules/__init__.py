"""Plugins that work with every backend: two policies and an audit log."""
