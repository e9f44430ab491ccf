"""How long the revocation list is good, as a metric that is right whatever role has stopped."""

from collections.abc import Callable, Iterable
from datetime import datetime

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from wayside_server.errors import ConfigError
from wayside_server.identity.publication import ListWatch

NAME = "wayside_crl_expires_seconds"
MEANING = (
    "Seconds until the revocation list on disk ends, and the broker refuses every device; 0 or less when it does, or"
    " there is none. Read from the file at each scrape. Alarm below half of `revocation.list_days`."
)


class ListAge(Collector):
    """Looks at the list whenever the metrics are asked for: a gauge that some role sets would stop with that role.

    Args:
        watch: of the list.
        now: the time, aware.
    """

    def __init__(self, watch: ListWatch, now: Callable[[], datetime]) -> None:
        self._watch = watch
        self._now = now

    def collect(self) -> Iterable[Metric]:
        """The metric."""
        try:
            lists = self._watch.lists()
        except ConfigError:
            lists = None
        left_s = 0.0 if lists is None else (lists.next_update - self._now()).total_seconds()
        yield GaugeMetricFamily(NAME, MEANING, left_s)
