"""A device that renews over years, with a server and a broker that are away for as long as half of what is left."""

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from wayside_shared import renewal as core
from wayside_shared.renewal import Life, Renewal

DAY_S = 86_400
LIFE_S = 90 * DAY_S


class Site:
    """Server, broker and disk of one device, which keep the books of who may connect with what."""

    def __init__(self, seed: int, outages: list[tuple[float, float]]) -> None:
        self.random = Random(seed)
        self.outages = outages
        self.present = Life(1, 0, LIFE_S)
        self.staged: Life | None = None
        self.old: Life | None = None
        self.state = Renewal("boiler-7", self.present, Random(seed + 1))
        self.renewed = 0
        self.stands_since_s: float | None = 0.0

    def away(self, now_s: float) -> bool:
        return any(began <= now_s < began + long for began, long in self.outages)

    def run(self, until_s: float) -> None:
        now_s = 0.0
        while now_s < until_s:
            self.deal(core.Tick(True), now_s)
            if self.stands_since_s is not None and now_s - self.stands_since_s >= 60:
                self.deal(core.Stood(), now_s)
            assert now_s < self.present.ends_s, "locked out"
            now_s += 3_600.0

    def deal(self, event: core.Event, now_s: float) -> None:
        for effect in self.state.step(event, now_s):
            self.perform(effect, now_s)

    def perform(self, effect: core.Effect, now_s: float) -> None:
        match effect:
            case core.Renew(expired):
                assert not expired
                if self.away(now_s) or self.random.random() < 0.3:
                    self.deal(core.Failed("away"), now_s)
                else:
                    assert self.staged is None
                    self.staged = Life(self.present.serial + 1, int(now_s), int(now_s) + LIFE_S)
                    self.deal(core.Issued(self.staged), now_s)
            case core.Refresh():
                self.deal(core.Failed("away") if self.away(now_s) else core.Refreshed(changed=False), now_s)
            case core.Prove():
                self.prove(now_s)
            case core.Promote():
                assert self.staged is not None
                self.old, self.present, self.staged = self.present, self.staged, None
                self.renewed += 1
            case core.RollBack():
                assert self.old is not None
                self.present, self.old = self.old, None
            case core.Discard():
                self.staged = None
            case core.DropOld():
                assert self.old is not None
                self.old = None

    def prove(self, now_s: float) -> None:
        assert self.staged is not None
        refused = self.random.random() < 0.3
        self.stands_since_s = now_s
        self.deal(core.Disproved("refused") if refused else core.Proved(), now_s)
        if not refused and self.random.random() < 0.1:
            assert self.old is not None
            self.deal(core.FellBack(self.old, "refused later"), now_s)
        assert self.state.life == self.present


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    outages=st.lists(st.tuples(st.floats(0, 730 * DAY_S), st.floats(0, 5 * DAY_S)), max_size=6),
)
def test_a_device_stays_in_over_two_years_of_short_outages_and_refusals_row_11(
    seed: int, outages: list[tuple[float, float]]
) -> None:
    site = Site(seed, outages)
    site.run(730 * DAY_S)
    assert site.renewed >= 730 / 90
    assert site.state.life == site.present
