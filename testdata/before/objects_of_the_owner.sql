\connect shop
SET SESSION AUTHORIZATION shop_owner;
CREATE TABLE orders (id serial PRIMARY KEY, item text);
CREATE SCHEMA archive;
CREATE FUNCTION total() RETURNS int LANGUAGE sql AS 'SELECT 1';
