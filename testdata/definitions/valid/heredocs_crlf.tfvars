application_databases = {
  shop = {
    database_name = "shop"
    username      = "shop_user"
    settings = {
      "app.blank_lines" = <<-EOT
          one
  
        two $${not} %%{it}

            three
        EOT
      "app.tabs" = <<-EOT
	one
		  two
	EOT
      "app.templates" = <<-EOT
          ${"one"}
            two ${"three"}
          ${"four"} five
        EOT
      "app.template_first" = <<-EOT
          one
${"two"}
        EOT
      "app.as_it_is" = <<EOT
  one
EOT_ is text
    EOT
      "app.nothing" = <<-NOTHING
        NOTHING
    }
  }
}
