-- Only a superuser can revoke what a superuser granted on system catalogs; privileges that PUBLIC also has may remain.
\connect shop
GRANT SELECT ON pg_authid TO shop_reader;
GRANT EXECUTE ON FUNCTION pg_read_file(text) TO shop_reader;
GRANT CREATE ON SCHEMA pg_catalog TO shop_owner;
GRANT USAGE ON LANGUAGE plpgsql TO shop_reader;
