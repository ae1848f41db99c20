-- What only a superuser may set, only a superuser may reset.
ALTER ROLE shop_reader IN DATABASE shop SET log_statement = 'all';
ALTER ROLE shop_reader IN DATABASE shop SET work_mem = '8MB';
