-- Privileges beyond the defaults of PUBLIC; a default that the owner revoked from PUBLIC is not restored.
\connect shop
SET SESSION AUTHORIZATION shop_owner;
CREATE TABLE orders (id serial PRIMARY KEY, item text);
CREATE TABLE customers (id int PRIMARY KEY, name text);
CREATE VIEW recent AS SELECT * FROM orders;
CREATE FUNCTION pay(amount int, "to whom" text) RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1';
REVOKE EXECUTE ON FUNCTION pay FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pay TO shop_editor;
CREATE TYPE mood AS ENUM ('sad', 'glad');
GRANT USAGE ON TYPE mood TO shop_reader WITH GRANT OPTION;
