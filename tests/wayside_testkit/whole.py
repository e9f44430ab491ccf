"""The whole service, every route that is served, on one database."""

import time

from wayside_server.api.schema import DocumentedApp
from wayside_server.app import utc_now
from wayside_server.app.web import make_app, routers_of
from wayside_server.config import ServerSettings
from wayside_server.domain.rates import RateLimits, Rates
from wayside_server.identity.authority import Authority, create_authority
from wayside_server.identity.office import open_office as enrolment_office
from wayside_server.identity.revocation import Revocations
from wayside_server.identity.tenants import Tenants
from wayside_server.storage.audit import PostgresAudit
from wayside_server.storage.certificates import PostgresCertificates
from wayside_server.storage.database import Pool
from wayside_server.storage.enrolment import PostgresEnrolment
from wayside_server.storage.identity import PostgresIdentity
from wayside_server.storage.live import PostgresLive
from wayside_server.storage.reading import PostgresReading
from wayside_server.storage.revocation import PostgresRevocations
from wayside_server.storage.tenants import PostgresTenants
from wayside_testkit.audit import MemoryTrail
from wayside_testkit.people import Office


def whole_app(pool: Pool, database: str, office: Office) -> DocumentedApp:
    """Every route that is served."""
    now, trail, marks = utc_now, MemoryTrail(), PostgresRevocations(pool, database)
    root, intermediate = create_authority(now())
    enrolling = enrolment_office(
        Authority(root.certificate, intermediate),
        PostgresEnrolment(pool),
        refusals=PostgresIdentity(pool),
        revocations=marks,
        trail=trail,
        certificate_days=90,
        now=now,
    )
    routers = routers_of(
        enrolling,
        ServerSettings(),
        str,
        Tenants(PostgresTenants(pool), trail),
        PostgresAudit(pool, now),
        PostgresCertificates(pool),
        Revocations(marks, trail, now),
    )
    reading, live = PostgresReading(pool, database), PostgresLive(database)
    rates = Rates(RateLimits(address=1e6, key=1e6, tenant=1e6), time.monotonic)
    return make_app(reading, office.desk, live, routers, rates=rates)
