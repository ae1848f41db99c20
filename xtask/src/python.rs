//! Installs and tests the Python module. Tests use the library of `cargo build --workspace`, so that
//! nothing is compiled twice.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use rdsprov_testkit::packages::{self, NpmLock};

use crate::process::run;

/// What the tests, the type checks and the benchmark need in addition to the module.
const TESTS: &str = "locks/python/tests.txt";

const PYRIGHT: NpmLock = NpmLock {
    manifest: include_str!("../../locks/npm/pyright/package.json"),
    lock: include_str!("../../locks/npm/pyright/package-lock.json"),
};

const SOURCES: &str = "crates/rdsprov-py/python/rdsprov";

/// A virtual environment in `target/python` with the packages of a lock file.
pub struct Environment {
    home: PathBuf,
}

impl Environment {
    /// Creates the environment `name` for the tested Python, unless it is already complete.
    pub fn new(name: &str, lock: &str) -> Result<Self, String> {
        let python = interpreter();
        let requirements = fs::read_to_string(lock).map_err(|error| format!("{lock}: {error}"))?;
        let home = std::env::current_dir()
            .map_err(|error| error.to_string())?
            .join("target/python")
            .join(name);
        packages::install_python_packages(&python, &home, &requirements)
            .map_err(|error| error.to_string())?;
        Ok(Self { home })
    }

    /// Creates an environment without packages in a directory.
    pub fn empty(home: &Path) -> Result<Self, String> {
        packages::create_virtual_environment(&interpreter(), home)
            .map_err(|error| error.to_string())?;
        Ok(Self { home: home.to_owned() })
    }

    /// Returns the directory of the programs.
    pub fn directory(&self) -> PathBuf {
        self.home.join("bin")
    }

    pub fn program(&self, name: &str) -> String {
        self.directory().join(name).display().to_string()
    }

    fn python(&self, arguments: &[&str]) -> Result<(), String> {
        run(&self.program("python"), arguments, &[])
    }

    /// Returns the directory of installed packages.
    fn packages(&self) -> Result<PathBuf, String> {
        let output = Command::new(self.program("python"))
            .args(["-c", "import sysconfig; print(sysconfig.get_path('purelib'))"])
            .output()
            .map_err(|error| error.to_string())?;
        Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
    }

    /// Installs the module: its sources, and a link to the library that cargo built.
    fn install(&self, library: &str) -> Result<(), String> {
        let package = self.packages()?.join("rdsprov");
        let failed = |error: std::io::Error| format!("{}: {error}", package.display());
        let _ = fs::remove_dir_all(&package);
        fs::create_dir_all(&package).map_err(failed)?;
        for entry in fs::read_dir(SOURCES).map_err(failed)? {
            let path = entry.and_then(|entry| entry.path().canonicalize()).map_err(failed)?;
            if path.is_file()
                && let Some(name) = path.file_name()
            {
                fs::copy(&path, package.join(name)).map_err(failed)?;
            }
        }
        let library = Path::new(library).canonicalize().map_err(failed)?;
        symlink(library, package.join("_rdsprov.abi3.so")).map_err(failed)
    }
}

/// Returns the Python interpreter to test with.
fn interpreter() -> String {
    std::env::var("RDSPROV_PYTHON").unwrap_or_else(|_| "python3".to_owned())
}

/// Returns an environment with the module and all packages that its tests need.
fn environment() -> Result<Environment, String> {
    // With all targets, so that the dependencies have the same features as in `cargo test` and are
    // compiled once.
    run("cargo", &["build", "--locked", "--workspace", "--all-targets"], &[])?;
    let environment = Environment::new("tests", TESTS)?;
    environment.install("target/debug/lib_rdsprov.so")?;
    Ok(environment)
}

/// Returns the interpreter of an environment with the module.
pub fn interpreter_with_module() -> Result<String, String> {
    environment().map(|environment| environment.program("python"))
}

/// Builds the module and checks it: types and stubs, and pytest with these arguments.
pub fn test(versions: Option<&str>, arguments: &[String]) -> Result<(), String> {
    let environment = environment()?;
    if arguments.is_empty() {
        types(&environment)?;
    }
    let mut pytest = vec!["-m", "pytest", "-q", "-p", "no:cacheprovider", "--durations", "8"];
    pytest.extend(["-n", "3", "--dist", "loadgroup"]);
    if arguments.is_empty() {
        pytest.push("crates/rdsprov-py/tests");
    }
    pytest.extend(arguments.iter().map(String::as_str));
    let versions: Vec<_> = versions.map(|one| ("RDSPROV_TEST_PG", one)).into_iter().collect();
    run(&environment.program("python"), &pytest, &versions)
}

/// Checks that stubs, module, tests and examples agree.
fn types(environment: &Environment) -> Result<(), String> {
    let code = ["crates/rdsprov-py/tests", "crates/rdsprov-bench", "examples/python"];
    environment.python(&["-m", "mypy", "-p", "rdsprov"])?;
    environment.python(&[["-m", "mypy"].as_slice(), &code].concat())?;
    environment.python(&["-m", "mypy.stubtest", "rdsprov"])?;
    packages::install_npm_packages(Path::new("target/python/npm"), PYRIGHT)
        .map_err(|error| error.to_string())?;
    let pyright = "target/python/npm/node_modules/pyright/index.js";
    let python = environment.program("python");
    run("node", &[&[pyright, "--pythonpath", &python], code.as_slice()].concat(), &[])?;
    // Pyright finds the module through the Python interpreter in PATH.
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{path}", environment.home.join("bin").display());
    run("node", &[pyright, "--verifytypes", "rdsprov"], &[("PATH", &path)])
}

/// Compares the planning time in Python and in Rust.
pub fn bench() -> Result<(), String> {
    run("cargo", &["build", "--locked", "--workspace"], &[])?;
    run(
        "cargo",
        &["build", "--locked", "--release", "-p", "rdsprov-py", "-p", "rdsprov-bench"],
        &[],
    )?;
    let environment = Environment::new("bench", TESTS)?;
    environment.install("target/release/lib_rdsprov.so")?;
    environment.python(&["crates/rdsprov-bench/diff.py", "target/release/bench-diff"])
}
