-- From 16 on a role of another creator is out of the administrator's hands; the schema is yet to be made.
CREATE ROLE migrator;
