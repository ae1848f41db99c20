-- PUBLIC can read a table of a superuser, so that the reader needs no grant.
\connect shop
CREATE TABLE countries (code char(2));
GRANT SELECT, INSERT, UPDATE, DELETE ON countries TO PUBLIC;
