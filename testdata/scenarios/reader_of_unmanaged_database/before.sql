-- The definitions have no owner entry, so that the current owner remains; the entry adopts the database.
SET SESSION AUTHORIZATION platform_admin;
CREATE DATABASE legacy;
\connect legacy
SET SESSION AUTHORIZATION platform_admin;
CREATE TABLE bills (id int);
