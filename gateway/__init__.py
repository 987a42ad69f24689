"""SMTP and LMTP listeners: the dialogue, its limits and its replies. What mail means is core's."""
