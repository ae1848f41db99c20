-- Parked by somebody: no run left it so.
SET SESSION AUTHORIZATION platform_admin;
CREATE DATABASE shop ALLOW_CONNECTIONS false;
