"""The web server's settings; gunicorn finds them by itself. Flags on its command line go first."""

# A list with every filter set has a long address; the server's own default ends at 4094 bytes.
limit_request_line = 8190
