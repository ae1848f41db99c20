//! Isolates child processes from the environment of the user who runs a test or the demo.

use std::process::Command;

/// Prefixes of the variables that the product, the AWS SDK, libpq or rustls read.
const READ: [&str; 5] = ["AWS_", "RDSPROV_", "PG", "SSL_CERT_", "ALLOW_DB_PROVISION"];

/// Proxy variables, compared in lower case.
const PROXIES: [&str; 4] = ["http_proxy", "https_proxy", "all_proxy", "no_proxy"];

/// Removes variables that configure AWS, PostgreSQL, proxies or the product from the environment of
/// a command, and disables the AWS configuration files. Set what the command needs afterwards.
///
/// ```
/// # use std::process::Command;
/// let mut command = Command::new("env");
/// command.env("PGSERVICE", "theirs");
/// rdsprov_testkit::scrub_environment(&mut command).env("PGUSER", "ours");
/// let shown = command.output().unwrap().stdout;
/// assert!(String::from_utf8(shown).unwrap().contains("PGUSER=ours"));
/// ```
pub fn scrub_environment(command: &mut Command) -> &mut Command {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let proxy = PROXIES.contains(&text.to_ascii_lowercase().as_str());
        if proxy || READ.iter().any(|start| text.starts_with(start)) {
            command.env_remove(&name);
        }
    }
    // On a busy machine, everything takes long.
    command.env("RDSPROV_NO_PROGRESS", "true");
    // The home directory may contain AWS profiles as well.
    command.env("AWS_CONFIG_FILE", "/dev/null").env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
}
