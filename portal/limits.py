"""How often one network address may do what costs us something (threat model, W7 and W11).

Kept in the memory of this process: it is a brake, not a promise. Guessing of passwords is counted
in the database besides (``core.accounts.throttle``).
"""

from flask_limiter import Limiter

from core.accounts.throttle import network_of
from portal.visitors import peer

SIGN_IN = "30 per minute"  # an office behind one address signs in together
POST = "60 per minute"


def _who() -> str:
    return network_of(peer())


limiter = Limiter(_who, storage_uri="memory://", strategy="fixed-window")
