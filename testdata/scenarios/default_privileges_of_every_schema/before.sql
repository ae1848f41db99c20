-- Without IN SCHEMA they would count in every schema there will ever be.
\connect shop
SET SESSION AUTHORIZATION shop_owner;
ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO shop_reader;
