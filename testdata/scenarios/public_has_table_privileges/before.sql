-- PUBLIC has privileges on the owner's current and future tables; objects of other owners are not changed.
CREATE ROLE other;
\connect shop
SET SESSION AUTHORIZATION shop_owner;
CREATE TABLE orders (id serial PRIMARY KEY, item text);
CREATE TABLE customers (id int PRIMARY KEY, name text);
CREATE VIEW recent AS SELECT * FROM orders;
GRANT SELECT ON orders TO PUBLIC;
GRANT UPDATE (name) ON customers TO PUBLIC;
GRANT USAGE ON SEQUENCE orders_id_seq TO PUBLIC;
ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE ON SEQUENCES TO PUBLIC;
CREATE SCHEMA uncovered;
CREATE TABLE uncovered.things (id int);
GRANT SELECT ON uncovered.things TO PUBLIC;
