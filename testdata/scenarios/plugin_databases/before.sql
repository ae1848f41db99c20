-- The application created these databases; those that match the pattern are closed.
SET SESSION AUTHORIZATION backstage_user;
CREATE DATABASE backstage_plugin_auth;
CREATE DATABASE scratch;
