-- Only a superuser can reset a parameter that only a superuser can set.
ALTER ROLE shop_reader IN DATABASE shop SET log_statement = 'all';
ALTER ROLE shop_reader IN DATABASE shop SET work_mem = '8MB';
