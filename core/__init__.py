"""What is true of Schalter without SMTP or HTTP: accounts, permissions, intake, tickets."""
