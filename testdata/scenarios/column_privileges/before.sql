-- A reader has a privilege on one column; column privileges that the table privilege includes may remain.
\connect shop
SET SESSION AUTHORIZATION shop_owner;
CREATE TABLE orders (id serial PRIMARY KEY, item text);
CREATE TABLE customers (id int PRIMARY KEY, name text);
CREATE VIEW recent AS SELECT * FROM orders;
GRANT SELECT (name), UPDATE (name) ON customers TO shop_reader;
GRANT SELECT (item) ON orders TO PUBLIC;
