//! Checks that an editor accepts the files of users with the schemas that `rdsprov schema` prints, and marks a
//! mistake in each.

use std::fs;
use std::path::Path;
use std::process::Command;

use rdsprov_testkit::packages::{self, NpmLock};

use crate::process::{run, run_with_log};

const TAPLO: NpmLock = NpmLock {
    manifest: include_str!("../../locks/npm/taplo/package.json"),
    lock: include_str!("../../locks/npm/taplo/package-lock.json"),
};

const DIRECTORY: &str = "target/editors";

/// The schemas, the files that they describe, and a mistake: a line, and what replaces it.
const FILES: [(&str, &str, (&str, &str)); 5] = [
    ("config-file", "docs/reference.md", ("approval = ", "aproval = ")),
    ("config-file", "deploy/kubernetes/example/rdsprov.toml", ("[secrets]", "[secret]")),
    ("fleet-file", "deploy/fleet/fleet.toml", ("environment = ", "environments = ")),
    ("definitions-file", "testdata/definitions/valid/standalone.toml", ("username = ", "user = ")),
    ("definitions-file", "testdata/definitions/valid/coupled.toml", ("username = ", "user = ")),
];

pub fn check() -> Result<(), String> {
    packages::install_npm_packages(Path::new("target/deploy/npm"), TAPLO)
        .map_err(|error| error.to_string())?;
    fs::create_dir_all(DIRECTORY).map_err(|error| format!("{DIRECTORY}: {error}"))?;
    run("cargo", &["build", "--locked", "--quiet", "--workspace", "--bin", "rdsprov"], &[])?;
    for (number, (schema, path, (line, mistake))) in FILES.into_iter().enumerate() {
        let printed = format!("{DIRECTORY}/{schema}.json");
        run_with_log("target/debug/rdsprov", &["schema", schema], &[], Path::new(&printed))?;
        let text = fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
        let text = if path.ends_with(".md") { example(&text) } else { Some(text.as_str()) };
        let text = text.ok_or_else(|| format!("{path} has no example"))?;
        if !text.contains(line) {
            return Err(format!("{path} does not contain `{line}`"));
        }
        let lint = |text: &str, expected: bool| {
            let file = format!("{DIRECTORY}/{number}-{expected}.toml");
            // The directive, as an editor reads it.
            fs::write(&file, format!("#:schema ./{schema}.json\n{text}"))
                .map_err(|error| format!("{file}: {error}"))?;
            let taplo = "target/deploy/npm/node_modules/@taplo/cli/dist/cli.js";
            let output = Command::new("node").args([taplo, "lint", &file]).output();
            let output = output.map_err(|error| format!("node: {error}"))?;
            if output.status.success() == expected {
                return Ok(());
            }
            let printed = String::from_utf8_lossy(&output.stderr);
            Err(format!("taplo: {path} with the schema {schema}, expected {expected}: {printed}"))
        };
        lint(text, true)?;
        lint(&text.replace(line, mistake), false)?;
    }
    Ok(())
}

/// Returns the example of `rdsprov.toml` in the reference.
fn example(reference: &str) -> Option<&str> {
    let (_, section) = reference.split_once("\n## `rdsprov.toml`\n")?;
    let (_, block) = section.split_once("```toml\n")?;
    block.split_once("```").map(|(block, _)| block)
}
