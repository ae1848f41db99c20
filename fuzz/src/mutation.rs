//! Changes values of a JSON document, which stays valid.

use serde_json::{Map, Value};

/// Values that are special in some place.
const STRINGS: [&str; 10] = [
    "",
    "public",
    "pg_database_owner",
    "rds_superuser",
    "platform_admin",
    "a\"b'c",
    "\u{202e}x\u{1b}[2J\n##[x]",
    "=1+1|<b>`x`",
    "[managed by rdsprov: dev/shop]",
    "x y.z",
];
const NUMBERS: [i64; 7] = [-1, 0, 1, 14, 140_000, 180_000, i64::MAX];

/// The generator SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) as usize % limit.max(1)
    }
}

/// Returns a document with some changed values. What comes before a separator stays.
pub fn mutated(data: &[u8], separator: &str, seed: u32) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(data).ok()?;
    let start = text.find(separator).map_or(0, |at| at + separator.len());
    let mut document: Value = serde_json::from_str(&text[start..]).ok()?;
    let mut random = Random(u64::from(seed));
    for _ in 0..=random.below(4) {
        change(&mut document, &mut random);
    }
    let mut mutated = data[..start].to_vec();
    serde_json::to_writer(&mut mutated, &document).ok()?;
    Some(mutated)
}

fn change(document: &mut Value, random: &mut Random) {
    let count = count(document);
    let other = nth(document, &mut random.below(count)).map(|value| value.clone());
    let other = other.unwrap_or(Value::Null);
    let Some(value) = nth(document, &mut random.below(count)) else { return };
    let action = random.below(3);
    if action == 0 && same_kind(value, &other) {
        *value = other;
        return;
    }
    match value {
        Value::Object(map) if action == 1 => remove(map, random),
        Value::Object(map) => {
            // Another value, or the name of another key.
            let (at, from) = (random.below(map.len()), random.below(map.len()));
            let key = map.keys().nth(at).cloned().unwrap_or_default();
            let key = if random.below(2) == 0 { key } else { string(random, &key) };
            let value = map.values().nth(from).cloned().unwrap_or(other);
            map.insert(key, value);
        }
        Value::Array(list) if action == 1 && !list.is_empty() => {
            list.remove(random.below(list.len()));
        }
        Value::Array(list) => {
            let copied = list.get(random.below(list.len())).cloned();
            list.push(copied.unwrap_or(other));
        }
        Value::Bool(one) => *one = !*one,
        Value::Number(_) => *value = NUMBERS[random.below(NUMBERS.len())].into(),
        Value::String(text) => *text = string(random, text),
        Value::Null => *value = other,
    }
}

fn same_kind(one: &Value, other: &Value) -> bool {
    std::mem::discriminant(one) == std::mem::discriminant(other)
}

fn remove(map: &mut Map<String, Value>, random: &mut Random) {
    if let Some(key) = map.keys().nth(random.below(map.len())).cloned() {
        map.remove(&key);
    }
}

fn string(random: &mut Random, old: &str) -> String {
    let special = STRINGS[random.below(STRINGS.len())];
    if random.below(3) == 0 { format!("{old}{special}") } else { special.to_owned() }
}

fn children(value: &mut Value) -> Vec<&mut Value> {
    match value {
        Value::Array(list) => list.iter_mut().collect(),
        Value::Object(map) => map.values_mut().collect(),
        _ => Vec::new(),
    }
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(list) => list.iter().map(count).sum(),
        Value::Object(map) => map.values().map(count).sum::<usize>(),
        _ => 0,
    }
}

/// Returns a value of a document by its number.
fn nth<'a>(value: &'a mut Value, number: &mut usize) -> Option<&'a mut Value> {
    if *number == 0 {
        return Some(value);
    }
    *number -= 1;
    for child in children(value) {
        if let Some(found) = nth(child, number) {
            return Some(found);
        }
    }
    None
}
