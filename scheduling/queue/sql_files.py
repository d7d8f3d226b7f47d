"""SQL statements in files, each file beside the module that sends them."""

from importlib.resources import files


def read_statements(module: str) -> dict[str, str]:
    """
    Return the statements of a module, by name: those of `scheduling.broker` are in `broker.sql`.

    A statement begins with a line `-- name: ...`. Lines that are comments are not sent.
    """
    package, _, file = module.rpartition(".")
    _, *parts = files(package).joinpath(f"{file}.sql").read_text("utf-8").split("-- name: ")
    statements = {}
    for part in parts:
        name, *lines = part.strip().splitlines()
        statements[name] = "\n".join(line for line in lines if not line.lstrip().startswith("--"))
    return statements
