-- The administrator closed the database by hand; it is not the result of an interrupted run.
SET SESSION AUTHORIZATION platform_admin;
CREATE DATABASE shop ALLOW_CONNECTIONS false;
