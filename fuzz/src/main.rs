//! Fuzzes one of the targets of the test `corpus`, which `RDSPROV_FUZZ_TARGET` names, with the arguments of libFuzzer.
//! `cargo xtask fuzz` builds and runs it.

#![no_main]

mod mutation;
#[path = "../../crates/rdsprov-core/tests/corpus/targets.rs"]
mod targets;

use std::sync::LazyLock;

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use targets::{SEPARATOR, TARGETS, Target};

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("RDSPROV_FUZZ_TARGET").unwrap_or_default();
    let target = TARGETS.into_iter().find(|(known, _)| *known == name);
    target.unwrap_or_else(|| panic!("RDSPROV_FUZZ_TARGET={name} is not a target"))
});

fuzz_target!(|data: &[u8]| TARGET.1(data));

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    // Few changes of single bytes leave a valid document.
    let is_structured = ["planner", "observed", "access_report"].contains(&TARGET.0);
    if is_structured
        && seed % 4 != 0
        && let Some(mutated) = mutation::mutated(&data[..size], SEPARATOR, seed)
        && mutated.len() <= max_size
    {
        data[..mutated.len()].copy_from_slice(&mutated);
        return mutated.len();
    }
    fuzzer_mutate(data, size, max_size)
});
