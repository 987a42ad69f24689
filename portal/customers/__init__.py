"""The pages of customers: their tickets, what is in them, a new one, and their mails."""

from portal.areas import Area
from portal.customers import mute, my_mails, new_ticket, ticket, tickets

AREAS: tuple[Area, ...] = (
    tickets.area,
    new_ticket.area,
    ticket.area,
    mute.area,
    my_mails.area,
)
