"""What ingest counts."""

from prometheus_client import Counter, Gauge, Histogram

MESSAGES = Counter("wayside_ingest_messages_total", "Messages taken from the broker.", ["channel"])
SAMPLES = Counter("wayside_ingest_samples_total", "Samples committed.")
DUPLICATES = Counter("wayside_ingest_duplicates_total", "Samples refused because they were stored before.")
DEAD = Counter("wayside_ingest_dead_letters_total", "Messages set aside as dead letters.")
INCIDENTS = Counter("wayside_ingest_incidents_total", "What operators must see of devices, by its kind.", ["kind"])
LIMITED = Counter("wayside_ingest_limited_total", "Messages not taken because too many came, by whose.", ["share"])
FAILURES = Counter("wayside_ingest_commit_failures_total", "Transactions that the database could not finish.")
REFUSED = Counter("wayside_broker_refused_total", "Connections that the broker refused.", ["kind"])
SESSIONS = Counter("wayside_ingest_sessions_total", "Sessions opened with the broker.")
CONNECTED = Gauge("wayside_ingest_connected", "Sessions that stand.", multiprocess_mode="livesum")
COMMIT_S = Histogram(
    "wayside_ingest_commit_seconds",
    "Time of one ingest transaction.",
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0),
)
GROUP = Histogram(
    "wayside_ingest_group_messages", "Messages in one transaction.", buckets=(1, 2, 5, 10, 25, 50, 100, 256)
)
