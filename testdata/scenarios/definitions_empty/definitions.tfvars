application_databases = {}
