-- Only its owner can create in it, and PUBLIC has USAGE: the declared access needs no grant.
\connect template1
ALTER SCHEMA public OWNER TO rdsadmin;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
