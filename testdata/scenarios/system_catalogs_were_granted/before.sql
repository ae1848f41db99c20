-- Only a superuser can take back what a superuser gave of the system's own; what everybody has may stay.
\connect shop
GRANT SELECT ON pg_authid TO shop_reader;
GRANT EXECUTE ON FUNCTION pg_read_file(text) TO shop_reader;
GRANT CREATE ON SCHEMA pg_catalog TO shop_owner;
GRANT USAGE ON LANGUAGE plpgsql TO shop_reader;
