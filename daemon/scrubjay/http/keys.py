"""Who asks over TCP, by the key that comes with the request; and how many requests each may have at a time."""

import hmac
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from aiohttp import web

from scrubjay.errors import RequestError
from scrubjay.key_tables import KeyTable, digest_of
from scrubjay.service.tenants import OWNER, Tenant

TENANT = web.RequestKey("tenant", Tenant)


def tenant_of(request: web.Request) -> Tenant:
    """Who asks; this machine's user on the local socket, and wherever there are no keys."""
    tenant: Tenant = request.get(TENANT, OWNER)
    return tenant


class KeyRing:
    """The keys that are good.

    Args:
        api_key: one that stands for this machine's user, "" for none.

    Attributes:
        tenants: who has the others.
        n_refused: by name, how many requests were one too many.
    """

    def __init__(self, tables: Sequence[KeyTable] = (), api_key: str = "") -> None:
        own = [(digest_of(api_key), OWNER)] if api_key else []
        self._keys = [*own, *((table.digest, Tenant(table.name, table.group, table.weight)) for table in tables)]
        self._most = {table.name: table.max_requests for table in tables}
        self._n_in_flight: Counter[str] = Counter()
        self.tenants = tuple(tenant for _, tenant in self._keys if not tenant.is_owner)
        self.n_refused: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, key: str) -> Tenant | None:
        """Whose key it is, None if nobody's. It takes as long for any text of one length, right, wrong or almost right."""
        given, found = digest_of(key), None
        for digest, tenant in self._keys:
            if hmac.compare_digest(digest, given):
                found = tenant
        return found

    @contextmanager
    def in_flight(self, tenant: Tenant) -> Iterator[None]:
        """A request of `tenant` is answered.

        Raises:
            RequestError: 429, it is one too many.
        """
        name = tenant.name
        if self._n_in_flight[name] >= self._most.get(name, 1 << 30):
            self.n_refused[name] += 1
            says = f"This key has {self._most[name]} requests in flight, which is all that it may have; wait for one to end."
            raise RequestError(says, 429, "rate_limit_error")
        self._n_in_flight[name] += 1
        try:
            yield
        finally:
            self._n_in_flight[name] -= 1
