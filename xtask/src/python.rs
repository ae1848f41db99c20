//! The Python module, tested where it is used: in a Python. The library is that of `cargo build --workspace`,
//! so that nothing is built twice; only `dist` builds what is given to others.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash as _, Hasher as _};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run;

/// What tests and checks need, beside the module itself.
const PACKAGES: [&str; 8] = [
    "pytest==8.4.2",
    "pytest-xdist==3.8.0",
    "pydantic==2.11.10",
    "attrs==25.4.0",
    "PyYAML==6.0.3",
    "mypy==1.18.2",
    "types-PyYAML==6.0.12.20250915",
    "typing_extensions==4.15.0",
];

const PYRIGHT: &str = "pyright@1.1.414";

const MATURIN: &str = "maturin==1.16.0";

const SOURCES: &str = "crates/rdsprov-py/python/rdsprov";

/// A virtual environment with packages, made once for each Python and list of packages.
struct Environment {
    home: PathBuf,
}

impl Environment {
    fn new(name: &str, python: &str, packages: &[&str]) -> Result<Self, String> {
        let mut hasher = DefaultHasher::new();
        (python, packages).hash(&mut hasher);
        let home = std::env::current_dir()
            .map_err(|error| error.to_string())?
            .join(format!("target/python/{name}-{:016x}", hasher.finish()));
        let environment = Self { home };
        if environment.home.join("ready").exists() {
            return Ok(environment);
        }
        let _ = fs::remove_dir_all(&environment.home);
        let place = environment.home.display().to_string();
        // Debian's Python has no `venv` of its own; `virtualenv` is what it has instead.
        run(python, &["-m", "venv", &place], &[]).or_else(|error| {
            let _ = fs::remove_dir_all(&environment.home);
            run(python, &["-m", "virtualenv", "-q", &place], &[]).map_err(|_| error)
        })?;
        if !packages.is_empty() {
            let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
            environment.python(&[install.as_slice(), packages].concat())?;
        }
        written(&environment.home.join("ready"), "")?;
        Ok(environment)
    }

    fn program(&self, name: &str) -> String {
        self.home.join("bin").join(name).display().to_string()
    }

    fn python(&self, arguments: &[&str]) -> Result<(), String> {
        run(&self.program("python"), arguments, &[])
    }

    /// Where its packages are.
    fn packages(&self) -> Result<PathBuf, String> {
        let output = Command::new(self.program("python"))
            .args(["-c", "import sysconfig; print(sysconfig.get_path('purelib'))"])
            .output()
            .map_err(|error| error.to_string())?;
        Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
    }

    /// Puts the module there: its sources, and a link to a library that cargo has built.
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

fn written(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

/// The Python to test with.
fn interpreter() -> String {
    std::env::var("RDSPROV_PYTHON").unwrap_or_else(|_| "python3".to_owned())
}

/// A Python that has the module and all that its tests need.
fn environment() -> Result<Environment, String> {
    run("cargo", &["build", "--workspace"], &[])?;
    let environment = Environment::new("test", &interpreter(), &PACKAGES)?;
    environment.install("target/debug/lib_rdsprov.so")?;
    Ok(environment)
}

/// The program of that Python.
pub fn with_the_module() -> Result<String, String> {
    environment().map(|environment| environment.program("python"))
}

/// Builds the module and asks of it all that is asked: types, stubs, and pytest with these arguments.
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

/// The stubs say what there is, and the tests and examples agree with them.
fn types(environment: &Environment) -> Result<(), String> {
    const MYPY: [&str; 7] =
        ["-m", "mypy", "--strict", "--python-version", "3.9", "--cache-dir", "target/python/mypy"];
    let code = ["crates/rdsprov-py/tests", "crates/rdsprov-bench", "examples/python"];
    environment.python(&[MYPY.as_slice(), &["-p", "rdsprov"]].concat())?;
    environment.python(&[MYPY.as_slice(), &code].concat())?;
    environment.python(&["-m", "mypy.stubtest", "rdsprov"])?;
    let npm = "target/python/npm";
    if !Path::new(npm).join("node_modules/pyright").exists() {
        run("npm", &["install", "--silent", "--no-save", "--prefix", npm, PYRIGHT], &[])?;
    }
    let pyright = format!("{npm}/node_modules/pyright/index.js");
    let python = environment.program("python");
    run("node", &[&[pyright.as_str(), "--pythonpath", &python], code.as_slice()].concat(), &[])?;
    // It finds the module by the Python that it finds.
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{path}", environment.home.join("bin").display());
    run("node", &[pyright.as_str(), "--verifytypes", "rdsprov"], &[("PATH", &path)])
}

/// How long planning takes in Python, beside the same in Rust.
pub fn bench() -> Result<(), String> {
    run("cargo", &["build", "--workspace"], &[])?;
    run("cargo", &["build", "--release", "-p", "rdsprov-py", "-p", "rdsprov-bench"], &[])?;
    let environment = Environment::new("bench", &interpreter(), &["pytest==8.4.2"])?;
    environment.install("target/release/lib_rdsprov.so")?;
    environment.python(&["crates/rdsprov-bench/diff.py", "target/release/bench-diff"])
}

/// What is given to others, in `target/dist`: the wheel, the sources and the command. Each is tried.
pub fn dist() -> Result<(), String> {
    const TO: &str = "target/dist";
    let _ = fs::remove_dir_all(TO);
    let maturin = Environment::new("maturin", &interpreter(), &[MATURIN])?;
    let program = maturin.program("maturin");
    run(&program, &["build", "--release", "--locked", "--out", TO], &[])?;
    run(&program, &["sdist", "--out", TO], &[])?;
    run("cargo", &["build", "--release", "--locked", "-p", "rdsprov-cli"], &[])?;
    let binary = format!("{TO}/rdsprov");
    fs::copy("target/release/rdsprov", &binary).map_err(|error| format!("{binary}: {error}"))?;

    let wheels = fs::read_dir(TO).map_err(|error| format!("{TO}: {error}"))?;
    let wheel = wheels
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .ok_or("maturin made no wheel")?;
    let home = tempfile::tempdir().map_err(|error| error.to_string())?;
    let place = home.path().join("venv").display().to_string();
    run(&interpreter(), &["-m", "venv", &place], &[])
        .or_else(|_| run(&interpreter(), &["-m", "virtualenv", "-q", &place], &[]))?;
    let fresh = Environment { home: PathBuf::from(&place) };
    fresh.python(&[
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-index",
        &wheel.display().to_string(),
    ])?;
    fresh.python(&["-m", "rdsprov", "--version"])?;
    run(&fresh.program("rdsprov"), &["--version", "--verbose"], &[])?;
    run(&binary, &["--version", "--verbose"], &[])
}
