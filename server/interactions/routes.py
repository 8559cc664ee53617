"""Routes: the one table of what the service base takes. Allow and the CapabilityStatement are made from it.

https://hl7.org/fhir/R4/http.html#summary
"""

from __future__ import annotations

from collections.abc import Mapping

from server.interactions import (
    asynchronous,
    capabilities,
    create,
    delete,
    history,
    operation,
    patch,
    read,
    search,
    transaction,
    update,
)
from server.interactions.exchange import (
    ASYNC,
    ASYNC_OUTPUT,
    BASE,
    COMPARTMENT,
    COMPARTMENT_SEARCH,
    INSTANCE,
    INSTANCE_HISTORY,
    INSTANCE_OPERATION,
    METADATA,
    SEARCH,
    SYSTEM_HISTORY,
    SYSTEM_OPERATION,
    SYSTEM_SEARCH,
    TYPE,
    TYPE_HISTORY,
    TYPE_OPERATION,
    VERSION,
    Handler,
)

DISPATCH: Mapping[tuple[str, str], Handler] = {
    ("GET", INSTANCE): read.read,
    ("GET", VERSION): read.vread,
    ("GET", TYPE): search.search,
    ("POST", SEARCH): search.search,
    ("GET", BASE): search.search,
    ("POST", SYSTEM_SEARCH): search.search,
    ("GET", COMPARTMENT): search.search,
    ("POST", COMPARTMENT_SEARCH): search.search,
    ("POST", TYPE): create.create,
    ("PUT", INSTANCE): update.update,
    ("PUT", TYPE): update.conditional_update,
    ("PATCH", INSTANCE): patch.patch,
    ("PATCH", TYPE): patch.conditional_patch,
    ("DELETE", INSTANCE): delete.delete,
    ("DELETE", TYPE): delete.conditional_delete,
    ("GET", INSTANCE_HISTORY): history.history,
    ("GET", TYPE_HISTORY): history.history,
    ("GET", SYSTEM_HISTORY): history.history,
    ("POST", BASE): transaction.transaction,
    ("GET", ASYNC): asynchronous.status,
    ("DELETE", ASYNC): asynchronous.cancel,
    ("GET", ASYNC_OUTPUT): asynchronous.output,
    ("GET", METADATA): capabilities.capabilities,
    ("GET", INSTANCE_OPERATION): operation.invoke,
    ("POST", INSTANCE_OPERATION): operation.invoke,
    ("GET", TYPE_OPERATION): operation.invoke,
    ("POST", TYPE_OPERATION): operation.invoke,
    ("GET", SYSTEM_OPERATION): operation.invoke,
    ("POST", SYSTEM_OPERATION): operation.invoke,
}
