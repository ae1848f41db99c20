application_databases = { a = { database_name = "[31ma	", username = "b" } }
