"""The web server's settings; gunicorn finds them by itself. Flags on its command line go first."""

# A list with every filter set has a long address; the server's own default ends at 4094 bytes.
limit_request_line = 8190

# Who is the client, and whether it came by https, Django alone decides, by PROXIES: gunicorn would
# believe these headers of whatever connects from this host, also of a client of a local proxy.
secure_scheme_headers: dict[str, str] = {}
forwarder_headers = ""

# A socket by which whoever runs as this user could stop and resize the server; all servers of a
# user share its path. Signals do the same.
control_socket_disable = True
