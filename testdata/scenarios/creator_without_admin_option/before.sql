-- Since PostgreSQL 16, the administrator has no ADMIN option on a role of another creator. The schema does not exist yet.
CREATE ROLE migrator;
