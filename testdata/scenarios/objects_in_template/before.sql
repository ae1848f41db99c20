-- A new database is a copy of the template. Before PostgreSQL 15, and after an upgrade, PUBLIC may create
-- objects there.
CREATE ROLE mallory;
\connect template1
GRANT CREATE ON SCHEMA public TO PUBLIC;
SET ROLE mallory;
CREATE FUNCTION public.upper(varchar) RETURNS text LANGUAGE sql AS $$SELECT 'caught'$$;
CREATE TABLE public.orders (id serial);
CREATE TYPE public.mood AS ENUM ('good');
SELECT lo_create(4711);
