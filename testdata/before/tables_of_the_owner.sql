-- Tables of the owner and the privileges on them.
\connect shop
SET SESSION AUTHORIZATION shop_owner;
CREATE TABLE orders (id serial PRIMARY KEY, item text);
CREATE TABLE customers (id int PRIMARY KEY, name text);
CREATE VIEW recent AS SELECT * FROM orders;
