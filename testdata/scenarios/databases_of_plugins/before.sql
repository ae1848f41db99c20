-- Made by the application itself; those that the pattern names are closed.
SET SESSION AUTHORIZATION backstage_user;
CREATE DATABASE backstage_plugin_auth;
CREATE DATABASE scratch;
