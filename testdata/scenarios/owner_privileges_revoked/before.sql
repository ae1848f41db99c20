\connect shop
REVOKE ALL ON DATABASE shop FROM shop_owner;
REVOKE ALL ON SCHEMA public FROM pg_database_owner;
