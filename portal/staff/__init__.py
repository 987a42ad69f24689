"""The pages of staff: the dashboard, tickets, held mail, outgoing mail and the mail log."""

from portal.areas import Area
from portal.staff import (
    assign,
    dashboard,
    held,
    held_bulk,
    mails,
    merging,
    messages,
    new_ticket,
    outgoing,
    ticket,
    tickets,
    writing,
)
from portal.staff.held import state_of_held
from portal.staff.outgoing import answer_of, state_of_outbox
from portal.staff.wording import age, texts_of

AREAS: tuple[Area, ...] = (
    dashboard.area,
    tickets.area,
    new_ticket.area,
    ticket.area,
    messages.area,
    writing.area,
    merging.area,
    assign.area,
    held.area,
    held_bulk.area,
    outgoing.area,
    mails.area,
)

for word in (age, answer_of, state_of_held, state_of_outbox, texts_of):
    dashboard.area.add_app_template_global(word)
