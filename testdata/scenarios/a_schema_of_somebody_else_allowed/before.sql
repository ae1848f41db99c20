-- The administrator made the schema by hand; with leave, it goes to who is declared its owner.
\connect shop
CREATE SCHEMA app AUTHORIZATION platform_admin;
GRANT USAGE ON SCHEMA app TO shop_owner;
