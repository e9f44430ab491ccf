"""Modules that come with Wayside: a folder each, with source, description and the built file."""
