-- The administrator created the schema by hand; if allowed, it is transferred to its declared owner.
\connect shop
CREATE SCHEMA app AUTHORIZATION platform_admin;
GRANT USAGE ON SCHEMA app TO shop_owner;
