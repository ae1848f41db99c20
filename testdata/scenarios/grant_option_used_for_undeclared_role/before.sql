-- An undeclared role would lose a privilege that a declared role granted.
CREATE ROLE auditor;
\connect shop
SET SESSION AUTHORIZATION shop_owner;
CREATE TABLE orders (id serial PRIMARY KEY, item text);
CREATE TABLE customers (id int PRIMARY KEY, name text);
CREATE VIEW recent AS SELECT * FROM orders;
GRANT SELECT ON orders TO shop_reader WITH GRANT OPTION;
SET SESSION AUTHORIZATION shop_reader;
GRANT SELECT ON orders TO auditor;
