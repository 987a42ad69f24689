"""Customer data that is kept elsewhere: read where it is, and mirrored into our tables.

``kinds`` of sources behind one protocol (``source``); ``asking`` them while somebody waits;
``mirroring`` what they say; ``matching`` up who is called differently; ``trying`` them out.
"""
