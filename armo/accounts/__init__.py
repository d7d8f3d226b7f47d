"""The people who work here: their time zone, their language, and their pages in the admin."""
