"""
What may come between two steps of the engine: its process is killed, the database breaks a
transaction off, somebody else acts.

The state machine runs the engine inside one long transaction, so a transaction of the engine is a
savepoint there: `outermost` are those that in a real worker begin, and commit, on their own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from django.db import connection

from tests.scheduling.state_machine.model import Killed


@dataclass
class Interruption:
    """No interruption; subclasses say what happens."""

    # How many outermost transactions have begun, and before which of them it happened, or in it.
    begun: int = 0
    happened_in: int | None = None
    is_watching: bool = True
    depth: int = 0

    def watch(self) -> Any:
        """Return a context in which the engine's statements are watched."""
        self.depth = len(connection.savepoint_ids)
        return connection.execute_wrapper(self)

    def __call__(
        self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any
    ) -> Any:
        """Look at a statement on its way to the database."""
        is_outermost = len(connection.savepoint_ids) == self.depth
        if self.is_watching:
            if sql.startswith("SAVEPOINT"):
                if is_outermost:
                    self.before_transaction()
                    self.begun += 1
            elif not sql.startswith(("RELEASE SAVEPOINT", "ROLLBACK TO SAVEPOINT")):
                self.before_statement(is_in_transaction=not is_outermost)
        return execute(sql, params, many, context)

    def before_transaction(self) -> None:
        """Act before an outermost transaction."""

    def before_statement(self, *, is_in_transaction: bool) -> None:
        """Act before any other statement."""

    def repeat(self, number: int) -> None:
        """Repeat in the model what happened to the engine at that transaction."""

    @property
    def has_happened(self) -> bool:
        """Whether the interruption happened."""
        return self.happened_in is not None


@dataclass
class Kill(Interruption):
    """The process ends before a statement."""

    statement: int = 0

    def before_statement(self, *, is_in_transaction: bool) -> None:
        """End at the chosen statement."""
        if self.statement == 0 and not self.has_happened:
            # In the transaction that has begun, or before the next.
            self.happened_in = self.begun - is_in_transaction
            raise Killed
        self.statement -= 1

    def repeat(self, number: int) -> None:
        """End there: what was committed stays, what was not is gone."""
        if number == self.happened_in:
            raise Killed


@dataclass
class Break(Interruption):
    """A statement of the attempt fails, after the transaction that counts the attempt."""

    FIRST: ClassVar = 1

    statement: int = 0
    error: type[Exception] = Exception

    def before_statement(self, *, is_in_transaction: bool) -> None:
        """Raise at the chosen statement of the attempt proper."""
        if self.has_happened or not is_in_transaction or self.begun <= self.FIRST:
            return
        if self.statement == 0:
            self.happened_in = self.begun - 1
            raise self.error
        self.statement -= 1

    def repeat(self, number: int) -> None:
        """Raise there."""
        if number == self.happened_in:
            raise self.error


@dataclass
class SomebodyElse(Interruption):
    """Somebody changes an item between two transactions of a worker."""

    transaction: int = 0
    act: Callable[[], object] = object
    act_on_model: Callable[[], object] = object
    outcome: object = None
    expected: object = None

    def before_transaction(self) -> None:
        """Act before the chosen transaction."""
        if self.begun == self.transaction:
            self.happened_in = self.begun
            self.is_watching = False
            self.outcome = self.act()
            self.is_watching = True

    def repeat(self, number: int) -> None:
        """Repeat it in the model."""
        if number == self.transaction:
            self.expected = self.act_on_model()
