from wayside_server.domain.account import DeviceRow, RowCount, StreamRow, settle

DEVICE = DeviceRow("boiler-7")


def _stream(**values: object) -> StreamRow:
    given: dict[str, object] = {
        "epoch": bytes(16),
        "accepted": 100,
        "stored": 60,
        "late": 0,
        "duplicates": 0,
        "contiguous_upto": 6,
    }
    return StreamRow(**(given | values))  # type: ignore[arg-type]


def test_what_is_not_settled_is_still_on_the_device() -> None:
    account = settle(DEVICE, [_stream(reported_pending_from=7, reported_pending_before=60)])
    assert (account.accepted, account.stored, account.pending, account.missing) == (100, 60, 40, 0)
    assert account.sentence == "accepted 100, stored 60, pending 40: nothing missing"


def test_a_batch_that_neither_side_has_is_missing() -> None:
    gap = _stream(contiguous_upto=3, reported_pending_from=8, reported_pending_before=70, settled_before_pending=60)
    account = settle(DEVICE, [gap])
    assert (account.missing, account.pending) == (10, 30)
    assert account.sentence.endswith("10 missing")


def test_a_report_that_says_less_than_the_ledger_makes_nothing_negative() -> None:
    account = settle(
        DEVICE,
        [_stream(contiguous_upto=3, reported_pending_from=5, reported_pending_before=40, settled_before_pending=60)],
    )
    assert account.missing == 0


def test_every_sample_stands_in_one_column() -> None:
    streams = [
        _stream(not_stored={"dropped:quota": 5, "dropped:corrupt": 1, "rejected:non_finite": 2}, late=4, duplicates=9),
        _stream(accepted=60, not_stored={"dropped:quota": 0}),
    ]
    account = settle(DeviceRow("boiler-7", plain_stored=7, plain_duplicates=3, garbage=1), streams)
    assert account.dropped == {"quota": 5, "corrupt": 1}
    assert account.rejected == {"non_finite": 2}
    settled = account.stored + account.pending + account.dropped_total + account.rejected_total + account.missing
    assert account.accepted == settled == 167
    assert (account.late, account.duplicates, account.garbage, account.epochs) == (4, 12, 1, 2)
    assert "dropped 6 (corrupt 1, quota 5), rejected 2 (non_finite 2): nothing missing" in account.sentence


def test_counted_rows_show_what_is_doubled_or_gone() -> None:
    assert settle(DEVICE, [_stream()]).duplicates_stored is None
    assert settle(DEVICE, [_stream()], RowCount(63, 60)).duplicates_stored == 3
    assert settle(DEVICE, [_stream()], RowCount(59, 60)).duplicates_stored == -1


def test_the_account_says_how_samples_were_timed_without_a_clock() -> None:
    account = settle(DEVICE, [_stream(estimated=30, estimate_err_ms=7_200_001, unsynced=5), _stream(estimated=10)])
    assert (account.estimated, account.unsynced, account.estimate_err_ms) == (40, 5, 7_200_001)
    assert account.timing == "40 timed by estimate, within 3 hours; 5 by a clock that was not synchronised"
    assert account.sentence.endswith(f": nothing missing; {account.timing}")
    assert settle(DEVICE, [_stream(estimated=1, estimate_err_ms=0)]).timing == "1 timed by estimate, within 1 s"
    assert settle(DEVICE, [_stream()]).timing == ""
