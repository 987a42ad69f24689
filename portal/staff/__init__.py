"""The pages of staff: the dashboard, tickets, held mail and the mail log."""

from portal.areas import Area
from portal.staff import assign, dashboard, held, mails, ticket, tickets
from portal.staff.wording import age, texts_of

AREAS: tuple[Area, ...] = (
    dashboard.area,
    tickets.area,
    ticket.area,
    assign.area,
    held.area,
    mails.area,
)

for word in (age, texts_of):
    dashboard.area.add_app_template_global(word)
