"""Grants readers access to all tables of a schema, one reader after another: `readers.py ENTRIES.json`.

The first entry is the owner of the database. The script repeats all grants, because it compares nothing.
"""

import json
import sys

import psycopg
from psycopg.sql import SQL, Identifier, Literal


def main() -> None:
    with open(sys.argv[1], encoding="utf-8") as file:
        owner, *readers = json.load(file)
    with psycopg.connect(autocommit=True) as administrator:
        for entry in readers:
            found = administrator.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [entry["user"]])
            verb = SQL("ALTER" if found.fetchone() else "CREATE")
            user, password = Identifier(entry["user"]), Literal(entry["password"])
            administrator.execute(SQL("{} ROLE {} LOGIN PASSWORD {}").format(verb, user, password))
    login = {"dbname": owner["database"], "user": owner["user"], "password": owner["password"]}
    with psycopg.connect(**login) as session:
        database = Identifier(owner["database"])
        for entry in readers:
            user = Identifier(entry["user"])
            session.execute(SQL("GRANT CONNECT ON DATABASE {} TO {}").format(database, user))
            session.execute(SQL("GRANT USAGE ON SCHEMA public TO {}").format(user))
            session.execute(SQL("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {}").format(user))
            session.execute(
                SQL("ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO {}").format(user)
            )


main()
