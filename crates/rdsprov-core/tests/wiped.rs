//! The text of an invalid secret is wiped from memory. This test needs its own process, because
//! other tests keep secrets in memory.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::os::unix::fs::FileExt as _;

use rdsprov_core::secret_id::SecretId;
use rdsprov_core::secrets::Secret;
use zeroize::Zeroizing;

/// Returns whether a text is anywhere on the heap, including freed memory. The argument
/// has each byte inverted, so that it does not match itself. The compiler's copies on the
/// stack cannot be wiped.
fn is_on_the_heap(inverted: &[u8]) -> bool {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let memory = std::fs::File::open("/proc/self/mem").unwrap();
    let stack = std::ptr::from_ref(&maps).addr() as u64;
    let writable = maps.lines().filter(|line| line.contains(" rw"));
    let mut regions = writable.filter_map(|line| line.split(' ').next()?.split_once('-'));
    regions.any(|(from, to)| {
        let [mut at, to] = [from, to].map(|text| u64::from_str_radix(text, 16).unwrap());
        let mut piece = Zeroizing::new(vec![0; 1 << 16]);
        let mut found = false;
        while at < to
            && !(at..to).contains(&stack)
            && let Ok(read) = memory.read_at(&mut piece, at)
            && read >= inverted.len()
        {
            let is_it =
                |window: &[u8]| window.iter().zip(inverted).all(|(byte, not)| *byte == !not);
            found |= piece[..read].windows(inverted.len()).any(is_it);
            at += (read - inverted.len() + 1) as u64;
        }
        found
    })
}

#[test]
fn invalid_secret_is_wiped_from_memory() {
    let id = SecretId("a/b".to_owned());
    // Thirty letters that do not occur elsewhere, nor in this file.
    let inverted: Vec<u8> = (0..30).map(|n: u8| !(b'a' + n * 7 % 26)).collect();
    for (before, after) in [
        ("{\"password\": \"", "\", \"password\": \"x\"}"),
        ("{\"password\": \"", "\", \"username\": 1}"),
        ("{\"password\": \"", "\", \"port\": \"x\"}"),
        ("{\"password\": \"", "\", \"engine\": \"mysql\"}"),
        ("{\"password\": \"", "\""),
        ("{\"password\": \"changeme", "\"}"),
        ("{\"passwort\": \"", "\"}"),
        ("{\"password\": \"x\", \"passwords\": [\"", "\"], \"port\": 0}"),
        ("{\"port\": \"", "\"}"),
        ("[\"", "\"]"),
    ] {
        let mut text = Zeroizing::new(String::with_capacity(200));
        text.push_str(before);
        // The allocator overwrites the first bytes of freed memory.
        text.push_str(&"x".repeat(32));
        inverted.iter().for_each(|byte| text.push(char::from(!byte)));
        text.push_str(after);
        assert!(is_on_the_heap(&inverted), "the text exists until it is dropped");
        let error = Secret::parse(&id, &text).unwrap_err();
        drop(text);
        assert!(!is_on_the_heap(&inverted), "{error}");
    }
}
