//! Runs the fuzzer in `fuzz/` on its targets, the functions of the test `corpus`.
//!
//! libFuzzer needs code that counts which parts of it are executed. The flags below make stable Rust generate it;
//! `cargo fuzz` sets the same ones, and needs a nightly version for the address sanitizer only, which finds nothing in
//! code that is not `unsafe`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::process::run;

/// The flags of rustc with which the code is instrumented.
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
                     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
                     -Cllvm-args=-sanitizer-coverage-pc-table \
                     -Cllvm-args=-sanitizer-coverage-trace-compares";

/// With `--target`, the flags do not apply to build scripts and procedural macros, which do not contain libFuzzer.
const TRIPLE: &str = "x86_64-unknown-linux-gnu";

/// The inputs in the repository.
const CORPUS: &str = "testdata/corpus";

/// The inputs of this machine, which are kept between runs.
const WORK: &str = "target/fuzz-corpus";

/// The largest input, in bytes.
const MAX_FILE: &str = "-max_len=20000";

/// The size of all inputs of one target in the repository, without those of defects.
const MAX_SAVED: u64 = 64 * 1024;

/// The inputs of defects have names that begin with this text.
const DEFECT: &str = "found-";

/// What to fuzz.
#[derive(clap::Args)]
pub struct Options {
    /// The target, a directory in testdata/corpus, or `all`
    target: String,
    /// Number of seconds for each target
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Write the smallest inputs that reach the same code to testdata/corpus
    #[arg(long)]
    save: bool,
}

pub fn fuzz(options: &Options) -> Result<(), String> {
    let targets = names(Path::new(CORPUS))?;
    let is_chosen = |name: &&String| options.target == "all" || options.target == **name;
    let chosen: Vec<&String> = targets.iter().filter(is_chosen).collect();
    if chosen.is_empty() {
        let known = targets.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        return Err(format!("{} is not a target; the targets are {known}", options.target));
    }
    let program = build()?;
    let mut failed = Vec::new();
    for target in chosen {
        if let Err(error) = fuzz_target(&program, target, options.seconds) {
            eprintln!("{error}");
            failed.push(target.as_str());
        } else if options.save {
            save(&program, target)?;
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    Err(format!("{} failed; the inputs are in {WORK}", failed.join(", ")))
}

fn build() -> Result<String, String> {
    let build = ["build", "--locked", "--release", "--manifest-path", "fuzz/Cargo.toml"];
    let place = ["--target", TRIPLE, "--target-dir", "target/fuzz"];
    run("cargo", &[build.as_slice(), &place].concat(), &[("RUSTFLAGS", FLAGS)])?;
    Ok(format!("target/fuzz/{TRIPLE}/release/rdsprov-fuzz"))
}

fn fuzz_target(program: &str, target: &str, seconds: u64) -> Result<(), String> {
    let (work, seeds) = (work(target)?, seeds(target)?);
    let (time, prefix) =
        (format!("-max_total_time={seconds}"), format!("-artifact_prefix={WORK}/{target}-"));
    let limits = [MAX_FILE, "-timeout=10", "-rss_limit_mb=1024"];
    let corpus = format!("{CORPUS}/{target}");
    let arguments = [limits.as_slice(), &[&time, &prefix, &work, &corpus, &seeds]].concat();
    run(program, &arguments, &[("RDSPROV_FUZZ_TARGET", target)])
}

fn work(target: &str) -> Result<String, String> {
    let work = format!("{WORK}/{target}");
    fs::create_dir_all(&work).map_err(|error| format!("{work}: {error}"))?;
    Ok(work)
}

/// Writes the files in `testdata` that are inputs of a target into a directory of their own.
fn seeds(target: &str) -> Result<String, String> {
    let seeds = PathBuf::from(format!("{WORK}/seeds-{target}"));
    let failed = |error: std::io::Error| format!("{}: {error}", seeds.display());
    fs::create_dir_all(&seeds).map_err(failed)?;
    let write = |name: &str, content: &[u8]| fs::write(seeds.join(name), content).map_err(failed);
    let extension = match target {
        "hcl" => "tfvars",
        other => other,
    };
    for path in files(Path::new("testdata/definitions"))? {
        if path.extension().is_some_and(|one| one == extension) {
            write(&path.display().to_string().replace('/', "_"), &read(&path)?)?;
        }
    }
    for path in files(Path::new("testdata/scenarios"))? {
        let name = path.display().to_string().replace('/', "_");
        if target == "configuration" && path.ends_with("rdsprov.toml") {
            write(&name, &read(&path)?)?;
        }
        if !path.file_name().is_some_and(|one| one.to_string_lossy().starts_with("observed")) {
            continue;
        }
        let mut recording: serde_json::Value =
            serde_json::from_slice(&read(&path)?).map_err(|error| format!("{name}: {error}"))?;
        let observed = recording["observed"].take().to_string();
        if target == "observed" {
            write(&name, observed.as_bytes())?;
        }
        let definitions = path.with_file_name("definitions.tfvars");
        if target == "planner" && definitions.exists() {
            let definitions = read(&definitions)?;
            let separator = b"\n--- observed ---\n".as_slice();
            write(&name, &[definitions.as_slice(), separator, observed.as_bytes()].concat())?;
        }
    }
    Ok(seeds.display().to_string())
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn names(directory: &Path) -> Result<BTreeSet<String>, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", directory.display());
    let entries = directory.read_dir().map_err(failed)?;
    entries
        .map(|entry| Ok(entry.map_err(failed)?.file_name().to_string_lossy().into_owned()))
        .collect()
}

/// Returns all files below a directory.
fn files(directory: &Path) -> Result<Vec<PathBuf>, String> {
    let mut all = Vec::new();
    for name in names(directory)? {
        let path = directory.join(name);
        if path.is_dir() {
            all.extend(files(&path)?);
        } else {
            all.push(path);
        }
    }
    Ok(all)
}

/// Replaces the inputs of a target in the repository by the smallest ones that reach the same code, up to a size.
/// The inputs of defects stay.
fn save(program: &str, target: &str) -> Result<(), String> {
    let merged = format!("{WORK}/merged-{target}");
    let _ = fs::remove_dir_all(&merged);
    fs::create_dir_all(&merged).map_err(|error| format!("{merged}: {error}"))?;
    let corpus = format!("{CORPUS}/{target}");
    let arguments = ["-merge=1", MAX_FILE, &merged, &work(target)?, &corpus, &seeds(target)?];
    run(program, &arguments, &[("RDSPROV_FUZZ_TARGET", target)])?;
    for name in names(Path::new(&corpus))?.iter().filter(|name| !name.starts_with(DEFECT)) {
        let path = format!("{corpus}/{name}");
        fs::remove_file(&path).map_err(|error| format!("{path}: {error}"))?;
    }
    let mut inputs = Vec::new();
    for path in files(Path::new(&merged))? {
        inputs.push((read(&path)?, path));
    }
    inputs.sort_by_key(|(content, _)| content.len());
    let mut left = MAX_SAVED;
    for (content, path) in inputs {
        let Some(rest) = left.checked_sub(content.len() as u64) else { break };
        left = rest;
        let name = path.file_name().unwrap_or_default();
        let saved = Path::new(&corpus).join(name);
        fs::write(&saved, content).map_err(|error| format!("{}: {error}", saved.display()))?;
    }
    Ok(())
}
