application_database = { a = { database_name = "a", username = "a_user" } }
