-- Lists the sessions in template1, which prevent CREATE DATABASE from copying it (55006).
SELECT coalesce(string_agg(pg_catalog.format('%s (%s, pid %s)', usename,
         coalesce(nullif(application_name, ''), 'no application name'), pid), ', '), 'no session any more')
FROM pg_catalog.pg_stat_activity WHERE datname = 'template1'
