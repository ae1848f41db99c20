-- The state after a run that was killed right after CREATE DATABASE.
SET SESSION AUTHORIZATION platform_admin;
CREATE DATABASE shop ALLOW_CONNECTIONS false CONNECTION LIMIT 1919185776;
