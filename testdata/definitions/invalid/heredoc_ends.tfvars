a = { b = <<EOT
text
EOT // end
}
c = [<<EOT
x
EOT , 1]
d = (<<-EOT
    x
    EOT /* end */)
application_databases = { shop = { database_name = <<EOT
shop
EOT , username = "shop_user" } }
