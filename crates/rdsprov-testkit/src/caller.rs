//! What the environment of whoever runs a test or the demo must not decide.

use std::process::Command;

/// How the names of variables begin that the product, the SDK of AWS, libpq or rustls read.
const READ: [&str; 5] = ["AWS_", "RDSPROV_", "PG", "SSL_CERT_", "ALLOW_DB_PROVISION"];

/// Proxies, in capitals or not.
const PROXIES: [&str; 4] = ["http_proxy", "https_proxy", "all_proxy", "no_proxy"];

/// Takes from a program what the caller's environment and files say of AWS, PostgreSQL, proxies and the product
/// itself. What it is to have is given to it afterwards.
///
/// ```
/// # use std::process::Command;
/// let mut command = Command::new("env");
/// command.env("PGSERVICE", "theirs");
/// rdsprov_testkit::without_the_callers(&mut command).env("PGUSER", "ours");
/// let shown = command.output().unwrap().stdout;
/// assert!(String::from_utf8(shown).unwrap().contains("PGUSER=ours"));
/// ```
pub fn without_the_callers(command: &mut Command) -> &mut Command {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let proxy = PROXIES.contains(&text.to_ascii_lowercase().as_str());
        if proxy || READ.iter().any(|start| text.starts_with(start)) {
            command.env_remove(&name);
        }
    }
    // The home directory may hold profiles, too.
    command.env("AWS_CONFIG_FILE", "/dev/null").env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
}
