"""`wayside demo`: the whole system on one machine, and a proof of its account.

Edge and server are programs to it, as they are to a user: it starts them, and asks them over HTTPS.
"""
