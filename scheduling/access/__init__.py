"""Who may see and do what: rights, preview links, the groups of a new site."""
