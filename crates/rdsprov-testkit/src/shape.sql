-- Makes a new cluster resemble Amazon RDS. Run by the bootstrap superuser in database postgres,
-- with :master and :master_password set.
\set ON_ERROR_STOP on
SELECT current_setting('server_version_num')::int / 10000 AS major \gset
SELECT :major >= 16 AS membership_options, :major < 15 AS public_is_a_schema_like_others \gset

CREATE ROLE rds_superuser;
CREATE ROLE rds_iam;
CREATE ROLE rds_password;
CREATE ROLE rds_replication;
GRANT pg_monitor, pg_signal_backend, rds_password, rds_replication TO rds_superuser WITH ADMIN OPTION;

CREATE ROLE :"master" LOGIN CREATEDB CREATEROLE IN ROLE rds_superuser PASSWORD :'master_password';
\if :membership_options
GRANT rds_iam TO :"master" WITH ADMIN TRUE, INHERIT FALSE, SET FALSE;
\endif

CREATE DATABASE rdsadmin;
REVOKE ALL ON DATABASE rdsadmin FROM PUBLIC;
ALTER DATABASE postgres OWNER TO :"master";
ALTER DATABASE template1 OWNER TO :"master";
\if :public_is_a_schema_like_others
ALTER SCHEMA public OWNER TO :"master";
\connect template1
ALTER SCHEMA public OWNER TO :"master";
\connect postgres
\endif
CREATE DATABASE platform OWNER :"master";
