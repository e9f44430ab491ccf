import pytest

from wayside_server.errors import ConfigError
from wayside_server.identity.passphrases import COMMON, MIN_LETTERS, check_passphrase
from wayside_server.identity.second_factor import accepted_step, new_recovery_codes, recovery_digest
from wayside_testkit.people import PASSPHRASE, MovableClock, cheap_passphrases
from wayside_testkit.totp import code_at

RFC_SECRET = b"12345678901234567890"


@pytest.mark.parametrize(
    "word",
    ["short", "a" * 20, "abcabcabcabcabc", "Password1234", "administrator1!", "adadavid-adadavid", "x" * 201, ""],
)
def test_passphrases_that_would_be_guessed_are_refused(word: str) -> None:
    with pytest.raises(ConfigError, match="passphrase"):
        check_passphrase(word, "adadavid")


def test_the_commonest_are_long_enough_to_matter() -> None:
    assert len(COMMON) >= 90
    assert all(len(word) >= MIN_LETTERS - 1 for word in COMMON)
    check_passphrase(PASSPHRASE, "ada")


async def test_a_passphrase_is_the_same_however_a_keyboard_composes_it() -> None:
    passphrases = cheap_passphrases()
    kept = await passphrases.hash("caf\N{LATIN SMALL LETTER E WITH ACUTE} au lait 9")
    assert await passphrases.verify(kept, "cafe\N{COMBINING ACUTE ACCENT} au lait 9")
    assert not await passphrases.verify(kept, "cafe au lait 9")
    assert not await passphrases.verify(None, "nobody has this passphrase")
    assert not await passphrases.verify("$argon2id$broken", "x")


@pytest.mark.parametrize(("second", "code"), [(59, "287082"), (1111111109, "081804"), (1234567890, "005924")])
def test_codes_are_those_of_rfc_6238(second: int, code: str) -> None:
    """RFC 6238, appendix B, the last six digits."""
    now = MovableClock().time.fromtimestamp(second, MovableClock().time.tzinfo)
    assert accepted_step(RFC_SECRET, code, now, None) == second // 30
    assert accepted_step(RFC_SECRET, f" {code[:3]} {code[3:]} ", now, None) == second // 30
    assert accepted_step(RFC_SECRET, code, now, second // 30) is None, "no code is taken twice"


@pytest.mark.parametrize("seconds", [-90, -60, 60, 90])
def test_a_code_is_taken_one_step_early_or_late_and_no_more(seconds: int) -> None:
    secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
    clock = MovableClock()
    then = clock.time.fromtimestamp(clock.time.timestamp() + seconds, clock.time.tzinfo)
    assert accepted_step(RFC_SECRET, code_at(secret, then), clock.time, None) is None
    near = clock.time.fromtimestamp(clock.time.timestamp() + seconds // abs(seconds) * 30, clock.time.tzinfo)
    assert accepted_step(RFC_SECRET, code_at(secret, near), clock.time, None) is not None


@pytest.mark.parametrize("code", ["", "12345", "1234567", "abcdef", "١٢٣٤٥٦", "123456\0", "\ud800" * 6])
def test_what_is_no_code_is_refused(code: str) -> None:
    assert accepted_step(RFC_SECRET, code, MovableClock().time, None) is None
    recovery_digest(code)


def test_recovery_codes_are_taken_as_people_type_them() -> None:
    code = new_recovery_codes()[0]
    assert recovery_digest(code.lower().replace("-", " ")) == recovery_digest(code)
