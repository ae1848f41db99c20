//! The inputs that the fuzzer in `fuzz/` has found: those that reach code that others do not, and those of
//! defects. Each is given to the function that the fuzzer calls.

#![allow(clippy::unwrap_used, reason = "a test")]
#![allow(clippy::expect_used, reason = "a test")]

mod targets;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use targets::TARGETS;

const MAX_FILE: usize = 20_000;
const MAX_TOTAL: usize = 1_000_000;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/corpus")
}

fn names(directory: &Path) -> BTreeSet<String> {
    let entries = directory.read_dir().unwrap_or_else(|error| panic!("{directory:?}: {error}"));
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn every_input_is_handled() {
    for (target, function) in TARGETS {
        let directory = corpus().join(target);
        let inputs = names(&directory);
        assert!(!inputs.is_empty(), "{target} has no inputs");
        for input in inputs {
            let data = fs::read(directory.join(&input)).unwrap();
            if let Err(panic) = std::panic::catch_unwind(|| function(&data)) {
                eprintln!("testdata/corpus/{target}/{input} failed");
                std::panic::resume_unwind(panic);
            }
        }
    }
}

#[test]
fn corpus_is_small_and_has_a_directory_for_each_target() {
    let targets: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names(&corpus()), targets);
    let mut total = 0;
    for target in targets {
        let directory = corpus().join(target);
        for input in names(&directory) {
            let size = fs::metadata(directory.join(&input)).unwrap().len() as usize;
            assert!(size <= MAX_FILE, "{input} has {size} bytes");
            total += size;
        }
    }
    assert!(total <= MAX_TOTAL, "{total} bytes");
}
