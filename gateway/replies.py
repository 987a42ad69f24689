"""Every reply of the dialogue, named once. None repeats what the client sent.

Those that depend on the message are intake's: ``core.intake.replies``.
"""

from core.intake.incoming import Reply

OK = Reply(250, "2.0.0", "OK")
SENDER_OK = Reply(250, "2.1.0", "OK")
RECIPIENT_OK = Reply(250, "2.1.5", "OK")
GOODBYE = Reply(221, "2.0.0", "Bye")
HELP = Reply(214, "2.0.0", "See RFC 5321")
CANNOT_VERIFY = Reply(252, "2.5.0", "Cannot verify; send a message to try")  # RFC 5321 7.3
START_TLS = Reply(220, "2.0.0", "Ready to start TLS")
START_DATA = "354 End data with <CR><LF>.<CR><LF>"  # RFC 2034 4: no status code in 3yz

# Wrong use of the dialogue
UNKNOWN_COMMAND = Reply(500, "5.5.1", "Command not recognised")
NOT_IMPLEMENTED = Reply(502, "5.5.1", "Command not implemented")
COMMAND_TOO_LONG = Reply(500, "5.5.2", "Command line too long")
COMMAND_LINE_END = Reply(500, "5.5.2", "Lines end with <CR><LF>")
NO_ARGUMENT = Reply(501, "5.5.4", "This command takes no argument")
BAD_HOST_NAME = Reply(501, "5.5.4", "A host name is needed here")
MAIL_SYNTAX = Reply(501, "5.5.4", "Syntax: MAIL FROM:<address>")
RECIPIENT_SYNTAX = Reply(501, "5.5.4", "Syntax: RCPT TO:<address>")
BAD_PARAMETER = Reply(501, "5.5.4", "A parameter has a wrong value")
UNKNOWN_PARAMETER = Reply(555, "5.5.4", "Parameter not recognised")
HELO_FIRST = Reply(503, "5.5.1", "Send EHLO or HELO first")
LHLO_FIRST = Reply(503, "5.5.1", "Send LHLO first")
MAIL_FIRST = Reply(503, "5.5.1", "Send MAIL first")
MAIL_AGAIN = Reply(503, "5.5.1", "There is a sender already")
RECIPIENT_FIRST = Reply(503, "5.5.1", "No recipient was accepted")
TLS_ALREADY = Reply(503, "5.5.1", "TLS is on already")

# Addresses
BAD_SENDER = Reply(553, "5.1.7", "Malformed address")
BAD_RECIPIENT = Reply(553, "5.1.3", "Malformed address")
NEEDS_SMTPUTF8 = Reply(553, "5.6.7", "This address needs SMTPUTF8")  # RFC 6531 3.5
TOO_MANY_RECIPIENTS = Reply(452, "4.5.3", "Too many recipients in one message")
TOO_MANY_MESSAGES = Reply(450, "4.7.1", "Too many messages from this sender, try again later")

# Messages
TOO_BIG = Reply(552, "5.3.4", "Message too big")
LINE_TOO_LONG = Reply(500, "5.5.2", "Line too long")
BARE_LINE_END = Reply(550, "5.5.2", "Bare <CR> or <LF> received")

# The end of a session
TOO_MANY_CONNECTIONS = Reply(421, "4.7.0", "Too many connections, try again later")
TOO_MANY_COMMANDS = Reply(421, "4.7.0", "Too many commands without a message")
TOO_MANY_ERRORS = Reply(421, "4.7.0", "Too many errors")
TIMEOUT = Reply(421, "4.4.2", "Timeout, closing the connection")
SHUTTING_DOWN = Reply(421, "4.3.2", "Service is shutting down, try again later")
