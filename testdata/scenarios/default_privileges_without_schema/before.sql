-- Without IN SCHEMA they apply to every current and future schema.
\connect shop
SET SESSION AUTHORIZATION shop_owner;
ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO shop_reader;
