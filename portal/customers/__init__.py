"""The pages of customers: their tickets, a new one, and what is in them."""

from portal.areas import Area
from portal.customers import mute, new_ticket, ticket, tickets

AREAS: tuple[Area, ...] = (tickets.area, new_ticket.area, ticket.area, mute.area)
