"""Adds golden vectors of the wire contract: `scripts/golden.py FILE.json …`; vectors that stand are never touched.

Each FILE names a new vector and holds `about`, `content_type`, and either `given` (what to encode) or `message` (the
bytes as hex, or as text for JSON types). The rest is filled in by this version's encoder and reader: look at it
before it is committed, for it binds every later version.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from wayside_testkit import vectors


def add(source: Path) -> None:
    """Put the vector described in `source` into the folder and at the end of the manifest."""
    target = vectors.FOLDER / source.name
    if target.exists():
        sys.exit(f"{target.name} stands already; a changed contract takes a new vector under a new name")
    described = json.loads(source.read_text())
    content_type, given = described["content_type"], described.get("given")
    if given is not None:
        message = vectors.encode(content_type, given)
    elif "text" in described:
        message = described["text"].encode()
    else:
        message = bytes.fromhex(described["message"])
    vector = {
        "about": described["about"],
        "content_type": content_type,
        "given": given,
        "message": message.hex(),
        "expected": vectors.read(content_type, message),
    }
    vectors.FOLDER.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(vector, indent=1) + "\n")
    with vectors.MANIFEST.open("a") as manifest:
        manifest.write(f"{vectors.digest(target)}  {target.name}\n")


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        add(Path(argument))
