"""Every message ever promised to be readable still reads the same, and the encoder still writes it."""

import subprocess

import pytest

from wayside_testkit import vectors


@pytest.mark.parametrize("name", vectors.names())
def test_a_vector_still_reads_the_same(name: str) -> None:
    vector = vectors.load(name)
    decoded = vectors.read(vector["content_type"], bytes.fromhex(vector["message"]))
    expected = vector["expected"]
    if isinstance(decoded, dict):
        # A later version may know more fields than a vector has; what the vector has must stay.
        decoded = {key: value for key, value in decoded.items() if key in expected}
    assert decoded == expected


@pytest.mark.parametrize("name", [name for name in vectors.names() if vectors.load(name)["given"] is not None])
def test_the_encoder_still_writes_a_vector(name: str) -> None:
    vector = vectors.load(name)
    message = vectors.encode(vector["content_type"], vector["given"])
    expected = vectors.inflated(vector["content_type"], bytes.fromhex(vector["message"]))
    assert vectors.inflated(vector["content_type"], message) == expected


def test_no_vector_was_changed_removed_or_left_out_of_the_manifest() -> None:
    listed = vectors.manifest()
    assert sorted(name for _, name in listed) == vectors.names()
    assert listed == [(vectors.digest(vectors.FOLDER / name), name) for _, name in listed]


def _git(*arguments: str) -> str | None:
    done = subprocess.run(["git", *arguments], cwd=vectors.FOLDER, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else None


def test_the_manifest_only_grew_over_the_history() -> None:
    commits = _git("log", "--format=%H", "--", vectors.MANIFEST.name)
    if commits is None:
        pytest.skip("this is no git checkout, so there is no history to compare with")
    now = vectors.MANIFEST.read_text()
    for commit in commits.split():
        then = _git("show", f"{commit}:./{vectors.MANIFEST.name}")
        assert then is None or now.startswith(then), f"the manifest of {commit} is not the beginning of today's"
