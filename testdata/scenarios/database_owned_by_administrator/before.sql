-- Created by hand as the administrator, before the database had a declared owner.
SET SESSION AUTHORIZATION platform_admin;
CREATE DATABASE shop;
\connect shop
SET SESSION AUTHORIZATION platform_admin;
CREATE TABLE orders (id int GENERATED ALWAYS AS IDENTITY, country text) PARTITION BY LIST (country);
CREATE TABLE orders_of_france PARTITION OF orders FOR VALUES IN ('FR');
CREATE TABLE customers (id serial PRIMARY KEY, name text);
CREATE TYPE period AS RANGE (subtype = int4);
CREATE AGGREGATE payments(*) (sfunc = int8inc, stype = int8, initcond = '0');
CREATE PROCEDURE send(int, text) LANGUAGE sql AS 'SELECT 1';
CREATE PROCEDURE send(int, OUT text) LANGUAGE sql AS 'SELECT NULL::text';
