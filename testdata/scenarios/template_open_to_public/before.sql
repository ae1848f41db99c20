-- A new database is a copy of the template.
\connect template1
GRANT CREATE ON SCHEMA public TO PUBLIC;
CREATE SCHEMA shared;
GRANT USAGE ON SCHEMA shared TO PUBLIC;
