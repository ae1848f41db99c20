application_databases = {}
application_databases = {}
