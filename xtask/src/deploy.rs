//! Runs `cargo xtask deploy`: renders and checks the files in `deploy`.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::editors;
use crate::process::{run, run_with_log};
use crate::python::Environment;

/// The versions of Kubernetes whose schemas the rendered manifests must match.
const KUBERNETES: [&str; 2] = ["1.31", "1.36"];

/// Checks workflows, scripts, the Dockerfile, the manifests and the Terraform modules.
pub fn check() -> Result<(), String> {
    let tools = Environment::new("deploy", "locks/python/deploy.txt")?;
    let in_directory = |directory: &str, extension: &str| {
        let mut found = Vec::new();
        find(Path::new(directory), extension, &mut found)?;
        if found.is_empty() {
            return Err(format!("{directory} contains no file with the extension {extension}"));
        }
        Ok(found)
    };
    let tool = |name: &str, arguments: &[&str], files: &[String]| {
        let files = files.iter().map(String::as_str);
        run(&tools.program(name), &arguments.iter().copied().chain(files).collect::<Vec<_>>(), &[])
    };
    let shellcheck = tools.program("shellcheck");
    let workflows =
        [".github/workflows", "deploy/github/workflows"].map(|path| in_directory(path, "yml"));
    let workflows = workflows.into_iter().collect::<Result<Vec<_>, _>>()?.concat();
    tool("actionlint", &["-shellcheck", &shellcheck], &workflows)?;
    tool("shellcheck", &[], &in_directory("deploy", "sh")?)?;
    tool("hadolint", &["deploy/container/Dockerfile"], &[])?;
    tool("cfn-lint", &["deploy/lambda/template.yaml"], &[])?;
    for (schema, file) in [
        ("vendor.gitlab-ci", "deploy/gitlab/rdsprov.gitlab-ci.yml"),
        ("vendor.github-actions", "deploy/github/rdsprov/action.yml"),
    ] {
        tool("check-jsonschema", &["--builtin-schema", schema, file], &[])?;
    }

    fs::create_dir_all("target/deploy").map_err(|error| format!("target/deploy: {error}"))?;
    state_machine(&tools)?;
    let rendered = Path::new("target/deploy/kubernetes.yaml");
    run_with_log(
        &tools.program("kubectl"),
        &["kustomize", "deploy/kubernetes/example"],
        &[],
        rendered,
    )?;
    let chart = Path::new("target/deploy/chart.yaml");
    let files = [rendered, chart].map(|path| path.display().to_string());
    tool("python", &["xtask/src/deploy.py"], &files)?;
    let executor = "deploy/argo/executor.yaml".to_owned();
    let files = [files.as_slice(), &[executor]].concat();
    for version in KUBERNETES {
        tool("kubernetes-validate", &["--strict", "--kubernetes-version", version], &files)?;
    }
    editors::check()?;
    // Terraform is in no registry of packages; without it, only the syntax was checked.
    if Command::new("terraform").arg("version").output().is_ok() {
        run("terraform", &["fmt", "-check", "-diff", "-recursive", "deploy/terraform"], &[])?;
    }
    Ok(())
}

/// Checks the state machine and its interpreter, and that the document contains the results of the
/// simulation.
fn state_machine(tools: &Environment) -> Result<(), String> {
    const SIMULATION: &str = "deploy/stepfunctions/simulate.py";
    const COPY: &str = "target/deploy/rdsprov.asl.json";
    let python = tools.program("python");
    // The interpreter must not leave compiled files in `deploy`.
    let run_python = |arguments: &[&str]| run(&python, &[&["-B"], arguments].concat(), &[]);
    run_python(&["-m", "unittest", "discover", "-q", "-s", "deploy/stepfunctions"])?;
    run_python(&[SIMULATION, "--check", "docs/scale.md"])?;
    run_python(&[SIMULATION, "--lint-copy", COPY])?;
    run(&tools.program("statelint"), &[COPY], &[])
}

/// Adds the paths of the files with an extension, in the order of their names.
fn find(directory: &Path, extension: &str, found: &mut Vec<String>) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", directory.display());
    let entries = fs::read_dir(directory).map_err(failed)?;
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()
        .map_err(failed)?;
    paths.sort();
    for path in paths {
        if path.is_dir() {
            find(&path, extension, found)?;
        } else if path.extension() == Some(OsStr::new(extension)) {
            found.push(path.display().to_string());
        }
    }
    Ok(())
}
