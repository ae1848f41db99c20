-- As on a server that was never RDS, or was upgraded from 14: a new database would be so, too.
\connect template1
ALTER SCHEMA public OWNER TO rdsadmin;
GRANT CREATE ON SCHEMA public TO PUBLIC;
