"""Mail that names a Kunden# from an unknown address: a registered contact says whether it is true.

A Kunden# is printed on every invoice, so it releases nothing (threat I9). Where the sender is
verified, the worker asks contacts of that customer by mail, who answer with one click. The question
names the sender's address, the queue and the time, and nothing that stands in the mail (L3): nobody
but staff and, after a yes, its account read it. What a link can do is no more than a link for a new
password can, which goes to the same address, so it asks for no password.
"""
