"""An audit log in memory."""

from wayside_server.domain.audit import Act


class MemoryTrail:
    """`AuditTrail` whose acts can be read."""

    def __init__(self) -> None:
        self.acts: list[Act] = []

    async def record(self, act: Act) -> None:
        self.acts.append(act)
