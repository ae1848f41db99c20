"""Creates roles and databases as a straightforward script does: `databases.py ENTRIES.json`.

It sets each password, because it cannot know whether the server has it.
"""

import json
import sys

import psycopg
from psycopg.sql import SQL, Identifier, Literal


def main() -> None:
    with open(sys.argv[1], encoding="utf-8") as file:
        entries = json.load(file)
    with psycopg.connect(autocommit=True) as administrator:
        for entry in entries:
            user, database = Identifier(entry["user"]), Identifier(entry["database"])
            found = administrator.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [entry["user"]])
            verb = SQL("ALTER" if found.fetchone() else "CREATE")
            password = Literal(entry["password"])
            administrator.execute(SQL("{} ROLE {} LOGIN PASSWORD {}").format(verb, user, password))
            found = administrator.execute("SELECT 1 FROM pg_database WHERE datname = %s", [entry["database"]])
            if found.fetchone():
                continue
            administrator.execute(SQL("CREATE DATABASE {}").format(database))
            administrator.execute(SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database))
            administrator.execute(SQL("GRANT {} TO CURRENT_USER").format(user))
            administrator.execute(SQL("ALTER DATABASE {} OWNER TO {}").format(database, user))
            administrator.execute(SQL("REVOKE {} FROM CURRENT_USER").format(user))


main()
