"""What the running agent does not load, so that it stays small on a board."""

import subprocess
import sys

HEAVY = ("numpy", "pydantic", "structlog", "cryptography", "psycopg", "fastapi", "importlib.metadata")


def loaded(statement: str) -> set[str]:
    """The modules in a fresh interpreter after `statement`."""
    program = f"{statement}; import sys; print(' '.join(sys.modules))"
    return set(
        subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()
    )


def test_sensing_loads_nothing_heavy() -> None:
    modules = loaded("import wayside_edge.acquisition")
    assert not modules & set(HEAVY)


def test_a_library_is_loaded_only_when_a_bus_needs_it() -> None:
    modules = loaded("import wayside_edge.app, wayside_edge.drivers.modbus, wayside_edge.drivers.gpio")
    assert not modules & {"gpiod", "gpiozero", "lgpio", "pymodbus", "serial", "spidev"}


def test_a_driver_is_loaded_only_when_named() -> None:
    modules = loaded("import wayside_edge.registry")
    assert not [name for name in modules if name.startswith("wayside_edge.drivers.")]


def test_the_agent_renews_certificates_without_a_library_for_them() -> None:
    modules = loaded("import wayside_edge.app")
    assert not modules & {"cryptography", "pkcs11"}
