"""The pages of customers: their tickets, a new one, their mails and their addresses."""

from portal.areas import Area
from portal.customers import claims, mute, my_addresses, my_mails, new_ticket, ticket, tickets

AREAS: tuple[Area, ...] = (
    tickets.area,
    new_ticket.area,
    ticket.area,
    mute.area,
    claims.area,
    my_mails.area,
    my_addresses.area,
)
