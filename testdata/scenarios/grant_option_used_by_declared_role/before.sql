-- A declared role granted a privilege to another one. Revoking the grant option removes it, and the owner grants it again.
\connect shop
SET SESSION AUTHORIZATION shop_owner;
CREATE TABLE orders (id serial PRIMARY KEY, item text);
CREATE TABLE customers (id int PRIMARY KEY, name text);
CREATE VIEW recent AS SELECT * FROM orders;
GRANT INSERT, SELECT ON orders TO shop_reader WITH GRANT OPTION;
SET SESSION AUTHORIZATION shop_reader;
GRANT SELECT ON orders TO shop_editor, PUBLIC;
GRANT INSERT ON orders TO shop_editor;
SET SESSION AUTHORIZATION shop_owner;
REVOKE INSERT ON orders FROM shop_editor;
