-- An undeclared role of the administrator that runs migrations; its privileges do not change.
SET SESSION AUTHORIZATION platform_admin;
CREATE ROLE flyway LOGIN;
\connect shop
SET SESSION AUTHORIZATION rdsadmin;
GRANT CONNECT ON DATABASE shop TO flyway;
GRANT CREATE, USAGE ON SCHEMA public TO flyway;
SET SESSION AUTHORIZATION flyway;
CREATE TABLE migrations (id int);
GRANT SELECT ON migrations TO PUBLIC;
