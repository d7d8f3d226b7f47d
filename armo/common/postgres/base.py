"""Django's PostgreSQL backend, on the embedded server."""

from collections.abc import Iterable
from typing import Any

import psycopg
from django.db.backends.postgresql import base, client

from armo.common.postgres import server


class DatabaseClient(client.DatabaseClient):
    """`manage.py dbshell`, with the psql that came with the server."""

    @classmethod
    def settings_to_cmd_args_env(
        cls, settings_dict: dict[str, Any], parameters: Iterable[str]
    ) -> tuple[list[str], dict[str, str] | None]:
        """Return psql's command line, with the server running."""
        server.start(settings_dict["DATA_DIR"])
        arguments, env = super().settings_to_cmd_args_env(settings_dict, parameters)
        return [str(server.binary("psql")), *arguments[1:]], env


class DatabaseWrapper(base.DatabaseWrapper):
    """
    A connection that starts the server when it is not there.

    So every entry point finds the same database, and what needs none (mypy, `manage.py help`)
    starts nothing.
    """

    client_class = DatabaseClient

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """
        Connect; if that fails, make sure that the server runs and connect again.

        :raises psycopg.OperationalError: also in place of PostgresError, so that a caller which
            waits for a lost server to come back meets one kind of error.
        """
        data_dir = self.settings_dict["DATA_DIR"]
        try:
            server.check_socket_dir(data_dir)
            try:
                return super().get_new_connection(conn_params)
            except psycopg.OperationalError:
                server.start(data_dir)
                return super().get_new_connection(conn_params)
        except server.PostgresError as error:
            raise psycopg.OperationalError(str(error)) from error
