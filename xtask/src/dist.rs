//! Runs `cargo xtask dist`: builds the files of a release in `target/dist`, and tries them.
//!
//! The targets are those whose standard library is installed (`rustup target add`). The C compiler
//! and linker for them is Zig, which PyPI has.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

use crate::cargo_tool::CargoTool;
use crate::image;
use crate::process::run;
use crate::python::Environment;

const VERSION: &str = env!("CARGO_PKG_VERSION");

const TO: &str = "target/dist";

/// The targets of the static programs of a release.
const STATIC: [&str; 2] = ["x86_64-unknown-linux-musl", "aarch64-unknown-linux-musl"];

/// The targets of the wheels. A wheel for manylinux2014 uses the C library of the system.
const WHEELS: [&str; 2] = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"];

/// Links the C library of this system into the programs, where the target musl is not installed.
const STATIC_GNU: (&str, &str) = ("RUSTFLAGS", "-C target-feature=+crt-static");

/// Writes the SBOM.
const CYCLONEDX: CargoTool = CargoTool {
    name: "cargo-cyclonedx",
    program: "cargo-cyclonedx",
    version: "0.5.9",
    optimised: false,
};

struct Dist {
    tools: Environment,
    /// `PATH`, with Zig and maturin first.
    path: String,
    /// The time of the commit, in seconds, which is also that of the files in archives.
    time: u64,
}

/// Builds all files, and tries those for this machine. With `from_source`, also installs the command
/// and the Python module from their sources.
pub fn run_all(from_source: bool) -> Result<(), String> {
    let _ = fs::remove_dir_all(TO);
    fs::create_dir_all(TO).map_err(|error| format!("{TO}: {error}"))?;
    let tools = Environment::new("maturin", "locks/python/maturin.txt")?;
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{path}", tools.directory().display());
    let dist = Dist { tools, path, time: commit_time()? };
    let installed = installed_targets()?;
    let have = |targets: &[&'static str]| -> Vec<&'static str> {
        targets.iter().copied().filter(|target| installed.iter().any(|one| one == target)).collect()
    };

    let mut programs = have(&STATIC);
    if programs.is_empty() {
        eprintln!("xtask: no target for musl is installed; linking the C library of this system");
        programs = have(&WHEELS);
    }
    for target in &programs {
        dist.programs(target)?;
    }
    for target in have(&WHEELS) {
        dist.wheel(target)?;
    }
    run(&dist.tools.program("maturin"), &["sdist", "--out", TO], &[])?;
    dist.sbom()?;
    let files = dist.checksums()?;
    dist.try_files(&files)?;
    if from_source {
        dist.try_sources(&files)?;
    }
    print_sizes(&files)
}

impl Dist {
    fn cargo(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Result<(), String> {
        run("cargo", arguments, &[environment, &[("PATH", &self.path)]].concat())
    }

    /// Builds the static programs for a target, and packs them.
    fn programs(&self, target: &str) -> Result<(), String> {
        let packages = ["rdsprov-cli", "rdsprov-lambda"];
        let mut build = vec!["--release", "--locked", "--target", target];
        build.extend(packages.iter().flat_map(|package| ["--package", package]));
        if target.ends_with("-musl") {
            self.cargo(&[&["zigbuild"], build.as_slice()].concat(), &[])?;
        } else {
            self.cargo(&[&["build"], build.as_slice()].concat(), &[STATIC_GNU])?;
        }
        let built = Path::new("target").join(target).join("release");
        let command = built.join("rdsprov");
        image::check_is_static(&command)?;
        let staged = tempfile::tempdir().map_err(|error| error.to_string())?;
        for file in [&command, Path::new("LICENSE-APACHE"), Path::new("LICENSE-MIT")] {
            self.stage(file, &staged.path().join(file.file_name().unwrap_or_default()))?;
        }
        let archive = format!("{TO}/rdsprov-{VERSION}-{target}.tar.gz");
        let in_order = ["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--create"];
        let from = staged.path().display().to_string();
        let files = ["--file", &archive, "--directory", &from, "--use-compress-program=gzip -n9"];
        let names = ["LICENSE-APACHE", "LICENSE-MIT", "rdsprov"];
        run("tar", &[in_order.as_slice(), &files, &names].concat(), &[])?;

        // Lambda starts the program with this name.
        let program = built.join("bootstrap");
        image::check_is_static(&program)?;
        let bootstrap = staged.path().join("bootstrap");
        self.stage(&program, &bootstrap)?;
        let zip = format!("{TO}/rdsprov-lambda-{VERSION}-{target}.zip");
        // The times in a zip archive are local.
        run(
            &self.tools.program("python"),
            &["-m", "zipfile", "--create", &zip, &bootstrap.display().to_string()],
            &[("TZ", "UTC")],
        )
    }

    /// Copies a file, with the time of the commit.
    fn stage(&self, from: &Path, to: &Path) -> Result<(), String> {
        let failed = |error: std::io::Error| format!("{}: {error}", from.display());
        fs::copy(from, to).map_err(failed)?;
        let time = UNIX_EPOCH + Duration::from_secs(self.time);
        File::options()
            .write(true)
            .open(to)
            .and_then(|file| file.set_modified(time))
            .map_err(failed)
    }

    /// Builds the wheel for a target. It contains an SBOM.
    fn wheel(&self, target: &str) -> Result<(), String> {
        let build = ["build", "--release", "--locked", "--zig", "--compatibility", "manylinux2014"];
        let time = self.time.to_string();
        run(
            &self.tools.program("maturin"),
            &[build.as_slice(), &["--target", target, "--out", TO]].concat(),
            &[("PATH", self.path.as_str()), ("SOURCE_DATE_EPOCH", time.as_str())],
        )
    }

    /// Writes the SBOM of the command.
    fn sbom(&self) -> Result<(), String> {
        let program = CYCLONEDX.program()?;
        let name = format!("rdsprov-{VERSION}.cdx");
        let (time, manifest) = (self.time.to_string(), "crates/rdsprov-cli/Cargo.toml");
        let form = ["cyclonedx", "--format", "json", "--spec-version", "1.5", "--quiet"];
        // One file in the directory of each member of the workspace.
        let files = ["--manifest-path", manifest, "--target", "all", "--override-filename", &name];
        let result =
            run(&program, &[form.as_slice(), &files].concat(), &[("SOURCE_DATE_EPOCH", &time)]);
        let mut written = vec![PathBuf::from("xtask")];
        let crates = fs::read_dir("crates").map_err(|error| format!("crates: {error}"))?;
        written.extend(crates.filter_map(|entry| Some(entry.ok()?.path())));
        for directory in written {
            let file = directory.join(format!("{name}.json"));
            if directory.ends_with("rdsprov-cli") && result.is_ok() {
                let to = format!("{TO}/{name}.json");
                let failed = |error| format!("{}: {error}", file.display());
                // The directory of the sources is part of the ids of the workspace's crates.
                let here = std::env::current_dir().map_err(failed)?;
                let text = fs::read_to_string(&file).map_err(failed)?;
                let text = text.replace(&format!("file://{}", here.display()), "file://");
                fs::write(&to, text).map_err(failed)?;
            }
            let _ = fs::remove_file(file);
        }
        result
    }

    /// Writes `SHA256SUMS`, and returns the files that it lists.
    fn checksums(&self) -> Result<Vec<PathBuf>, String> {
        let entries = fs::read_dir(TO).map_err(|error| format!("{TO}: {error}"))?;
        let mut files: Vec<PathBuf> =
            entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        files.sort();
        let names = files.iter().filter_map(|path| path.file_name());
        let output = Command::new("sha256sum")
            .args(names)
            .current_dir(TO)
            .output()
            .map_err(|error| format!("cannot run sha256sum: {error}"))?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        let sums = format!("{TO}/SHA256SUMS");
        fs::write(&sums, output.stdout).map_err(|error| format!("{sums}: {error}"))?;
        Ok(files)
    }

    /// Installs the wheel in an empty virtual environment, and runs the command from its archive in
    /// an empty directory and in its image.
    fn try_files(&self, files: &[PathBuf]) -> Result<(), String> {
        let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
        let home = directory.path().join("wheel");
        let wheel = for_this_machine(files, ".whl")?;
        let fresh = Environment::empty(&home)?;
        let install = ["-m", "pip", "install", "--quiet", "--no-index"];
        let program = fresh.program("python");
        run(&program, &[install.as_slice(), &[&wheel]].concat(), &[])?;
        run(&program, &["-m", "rdsprov", "--version"], &[])?;
        run(&fresh.program("rdsprov"), &["--version", "--verbose"], &[])?;

        let archive = for_this_machine(files, "-unknown-linux-musl.tar.gz")
            .or_else(|_| for_this_machine(files, "-unknown-linux-gnu.tar.gz"))?;
        let unpacked = directory.path().display().to_string();
        run("tar", &["--extract", "--file", &archive, "--directory", &unpacked], &[])?;
        let command = directory.path().join("rdsprov");
        run(&command.display().to_string(), &["--version", "--verbose"], &[])?;
        if fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0) {
            return image::check(&command);
        }
        eprintln!("xtask: without root, the command was not run with the files of its image only");
        Ok(())
    }

    /// Installs the Python module and the command from their sources, as users do. The development
    /// profile shares compiled dependencies with the tests: only the installation is tried.
    fn try_sources(&self, files: &[PathBuf]) -> Result<(), String> {
        let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
        let target = std::env::current_dir()
            .map_err(|error| error.to_string())?
            .join("target")
            .display()
            .to_string();
        let target =
            [("CARGO_TARGET_DIR", target.as_str()), ("MATURIN_PEP517_ARGS", "--profile dev")];
        let sdist = format!("rdsprov-{VERSION}.tar.gz");
        let sdist = files.iter().find(|path| path.ends_with(&sdist)).ok_or("no sdist")?;
        let fresh = Environment::empty(&directory.path().join("sdist"))?;
        let install = ["-m", "pip", "install", "--quiet", &sdist.display().to_string()];
        run(&fresh.program("python"), &install, &target)?;
        run(&fresh.program("rdsprov"), &["--version"], &[])?;

        let root = directory.path().join("command").display().to_string();
        let install = ["install", "--locked", "--quiet", "--debug", "--path", "crates/rdsprov-cli"];
        run("cargo", &[install.as_slice(), &["--root", &root]].concat(), &target)?;
        run(&format!("{root}/bin/rdsprov"), &["--version"], &[])
    }
}

/// Returns the file of a release for this processor with the end of its name.
fn for_this_machine(files: &[PathBuf], end: &str) -> Result<String, String> {
    files
        .iter()
        .map(|path| path.display().to_string())
        .find(|path| path.contains(std::env::consts::ARCH) && path.ends_with(end))
        .ok_or_else(|| format!("{TO} contains no file …{end} for this machine"))
}

fn commit_time() -> Result<u64, String> {
    let output = Command::new("git")
        .args(["log", "-1", "--format=%ct"])
        .output()
        .map_err(|error| format!("cannot run git: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().map_err(|_| "git returns no time of the commit".to_owned())
}

/// Returns the targets whose standard library is installed.
fn installed_targets() -> Result<Vec<String>, String> {
    let output = Command::new("rustc")
        .args(["--print", "sysroot"])
        .output()
        .map_err(|error| format!("cannot run rustc: {error}"))?;
    let sysroot = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let libraries = Path::new(&sysroot).join("lib/rustlib");
    let entries =
        fs::read_dir(&libraries).map_err(|error| format!("{}: {error}", libraries.display()))?;
    Ok(entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.join("lib").is_dir())
        .filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
        .collect())
}

fn print_sizes(files: &[PathBuf]) -> Result<(), String> {
    println!("| file | MB |\n|---|---|");
    for path in files {
        let size =
            fs::metadata(path).map_err(|error| format!("{}: {error}", path.display()))?.len();
        let name = path.file_name().unwrap_or_default().display();
        println!("| `{name}` | {:.1} |", size as f64 / 1e6);
    }
    Ok(())
}
