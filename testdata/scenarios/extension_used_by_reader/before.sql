-- An extension with a schema and routines of its own, as those of Amazon RDS.
\connect shop
CREATE EXTENSION citext;
CREATE SCHEMA aws;
CREATE FUNCTION aws.export(text) RETURNS text LANGUAGE sql AS $$SELECT $1$$;
CREATE PROCEDURE aws.import(text) LANGUAGE sql AS $$SELECT 1$$;
CREATE FUNCTION aws.version() RETURNS int LANGUAGE sql AS $$SELECT 1$$;
REVOKE ALL ON FUNCTION aws.export(text) FROM PUBLIC;
REVOKE ALL ON PROCEDURE aws.import(text) FROM PUBLIC;
GRANT USAGE ON SCHEMA aws TO platform_admin WITH GRANT OPTION;
GRANT EXECUTE ON FUNCTION aws.export(text) TO platform_admin WITH GRANT OPTION;
GRANT EXECUTE ON PROCEDURE aws.import(text) TO platform_admin WITH GRANT OPTION;
ALTER EXTENSION citext ADD SCHEMA aws;
ALTER EXTENSION citext ADD FUNCTION aws.export(text);
ALTER EXTENSION citext ADD PROCEDURE aws.import(text);
ALTER EXTENSION citext ADD FUNCTION aws.version();
