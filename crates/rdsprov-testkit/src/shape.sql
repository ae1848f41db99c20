-- Makes a new cluster resemble Amazon RDS. Run by the bootstrap superuser in database postgres,
-- with :master, :master_password and :shape set. The shape is `instance`, `older-minor` or `aurora`.
\set ON_ERROR_STOP on
SELECT current_setting('server_version_num')::int / 10000 AS major \gset
SELECT :major >= 15 AS all_data, :major >= 16 AS membership_options, :major >= 17 AS maintain,
  :major < 15 AS public_is_a_schema_like_others,
  :'shape' <> 'aurora' AS is_instance, :'shape' <> 'older-minor' AS has_rds_extension \gset

CREATE ROLE rds_superuser;
CREATE ROLE rds_iam;
CREATE ROLE rds_ad;
CREATE ROLE rds_password;
CREATE ROLE rds_replication;
\if :has_rds_extension
CREATE ROLE rds_extension NOINHERIT;
\endif
\if :membership_options
CREATE ROLE rds_reserved;
\endif
\if :is_instance
CREATE ROLE rdsrepladmin REPLICATION;
CREATE ROLE rdstopmgr LOGIN;
-- An empty location keeps the tablespace in the data directory, so that a copy has its own. Recovery
-- needs the setting `allow_in_place_tablespaces`, too.
CREATE TABLESPACE rds_temp_tablespace OWNER rds_superuser LOCATION '';
GRANT CREATE ON TABLESPACE rds_temp_tablespace TO PUBLIC;
\endif
GRANT pg_monitor, pg_signal_backend, rds_password, rds_replication TO rds_superuser WITH ADMIN OPTION;
\if :all_data
GRANT pg_checkpoint, pg_read_all_data, pg_write_all_data TO rds_superuser WITH ADMIN OPTION;
\endif
\if :maintain
GRANT pg_create_subscription, pg_use_reserved_connections, pg_maintain TO rds_superuser WITH ADMIN OPTION;
\endif

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
