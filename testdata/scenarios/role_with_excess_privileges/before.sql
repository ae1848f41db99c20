-- Tables of the owner and the privileges on them.
\connect shop
SET SESSION AUTHORIZATION shop_owner;
CREATE TABLE orders (id serial PRIMARY KEY, item text);
CREATE TABLE customers (id int PRIMARY KEY, name text);
CREATE VIEW recent AS SELECT * FROM orders;

GRANT INSERT ON orders TO shop_reader;
GRANT SELECT ON customers TO shop_reader WITH GRANT OPTION;
GRANT UPDATE ON SEQUENCE orders_id_seq TO shop_reader;
GRANT CREATE ON SCHEMA public TO shop_reader;
GRANT TEMPORARY ON DATABASE shop TO shop_reader;
