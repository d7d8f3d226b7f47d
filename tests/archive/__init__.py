"""An application that adds a third kind of job, with one class."""
