"""What one session with a client is made of: all that a request is answered from."""

from __future__ import annotations

from typing import NamedTuple

from soa_server.lsp.configuration import Configuration
from soa_server.lsp.diagnostics import Diagnostics
from soa_server.lsp.documents import Documents
from soa_server.lsp.jobs import Jobs
from soa_server.lsp.person import Person


class Session(NamedTuple):
    """The parts that handlers and jobs share. They are there from the start and light to load."""

    person: Person
    documents: Documents
    configuration: Configuration
    diagnostics: Diagnostics
    jobs: Jobs

    @classmethod
    def of(cls, person: Person, documents: Documents) -> Session:
        """A session that has just begun."""
        configuration = Configuration(person, documents)
        return cls(person, documents, configuration, Diagnostics(documents), Jobs())
