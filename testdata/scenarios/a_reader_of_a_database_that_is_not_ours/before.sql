-- Declared by nobody as owner, so the owner is whoever it is; the entry adopts it.
SET SESSION AUTHORIZATION platform_admin;
CREATE DATABASE legacy;
\connect legacy
SET SESSION AUTHORIZATION platform_admin;
CREATE TABLE bills (id int);
