"""Modules for WebAssembly stages: written from templates, built, tried in the agent's own worker, inspected."""
