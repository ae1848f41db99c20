-- Only a superuser can own it, or can transfer it to a role that is not a superuser.
\connect shop
CREATE PUBLICATION everything FOR ALL TABLES;
ALTER PUBLICATION everything OWNER TO shop_owner;
SET SESSION AUTHORIZATION shop_owner;
CREATE TABLE orders (id serial PRIMARY KEY, item text);
CREATE PUBLICATION just_orders FOR TABLE orders;
