-- A new database is as the template is.
\connect template1
GRANT CREATE ON SCHEMA public TO PUBLIC;
CREATE SCHEMA shared;
GRANT USAGE ON SCHEMA shared TO PUBLIC;
