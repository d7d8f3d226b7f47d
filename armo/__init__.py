"""The project: settings, URLs, and what all applications share."""

import zoneinfo

# The pinned package `tzdata` alone says what clocks show. A host's own rules would come first,
# however old they are, and PYTHONTZPATH before those; each host might decide differently. Here,
# because no process can read the settings without passing by (docs/adr/0027).
zoneinfo.reset_tzpath(to=())
zoneinfo.ZoneInfo.clear_cache()
