-- As on a server that is not RDS, or was upgraded from 14. A new database would have the same owner.
\connect template1
ALTER SCHEMA public OWNER TO rdsadmin;
GRANT CREATE ON SCHEMA public TO PUBLIC;
