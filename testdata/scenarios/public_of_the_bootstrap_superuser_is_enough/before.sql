-- Nobody creates in it but its owner, and all may use it: what is asked holds without a grant.
\connect template1
ALTER SCHEMA public OWNER TO rdsadmin;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
