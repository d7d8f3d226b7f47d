"""What every route of the API shares: errors, pages, versions, repeated requests, tokens."""
