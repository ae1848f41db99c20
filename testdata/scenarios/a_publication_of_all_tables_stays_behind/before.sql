-- Only a superuser may have it, or may give it to somebody who is none.
\connect shop
CREATE PUBLICATION everything FOR ALL TABLES;
ALTER PUBLICATION everything OWNER TO shop_owner;
SET SESSION AUTHORIZATION shop_owner;
CREATE TABLE orders (id serial PRIMARY KEY, item text);
CREATE PUBLICATION just_orders FOR TABLE orders;
