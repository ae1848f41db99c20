ALTER ROLE shop_reader PASSWORD 'something else';
