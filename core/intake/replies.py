"""Every reply that intake gives, named once. Replies are public: they tell nothing of accounts."""

from core.intake.incoming import Reply

UNKNOWN_RECIPIENT = Reply(550, "5.1.1", "No such address here")
NOT_PERMITTED = Reply(550, "5.7.1", "Message refused: not permitted for this sender")
SPOOFED = Reply(550, "5.7.26", "Message refused: the sender could not be authenticated")
LOOP = Reply(554, "5.4.6", "Message refused: too many hops")
OWN_MAIL = Reply(554, "5.4.6", "Message refused: it is one of ours that came back")
TICKET_CLOSED = Reply(
    550,
    "5.7.1",
    "This request is closed and takes no more replies. Please write us a new message "
    "(not as a reply, and without the old ticket number in its subject)",
)
TRY_AGAIN = Reply(451, "4.3.0", "Temporary failure, please try again later")
NO_SPACE = Reply(452, "4.3.1", "Insufficient storage, please try again later")


def accepted(reference: str) -> Reply:
    """Return the reply to a mail that was filed or held; staff find it by the reference."""
    return Reply(250, "2.0.0", f"Accepted as {reference}")
