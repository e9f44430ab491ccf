"""Fakes and factories for the tests; never shipped."""
