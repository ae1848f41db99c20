//! Finds out whether a JSON document gives a key of a map twice.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// Whether no map of a JSON document gives a key twice.
pub(super) struct UniqueKeys(pub bool);

struct Values;

impl<'de> Visitor<'de> for Values {
    type Value = UniqueKeys;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<UniqueKeys, A::Error> {
        let mut keys = BTreeSet::new();
        let mut is_unique = true;
        while let Some(key) = map.next_key::<String>()? {
            is_unique &= keys.insert(key);
            is_unique &= map.next_value::<UniqueKeys>()?.0;
        }
        Ok(UniqueKeys(is_unique))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<UniqueKeys, A::Error> {
        let mut is_unique = true;
        while let Some(UniqueKeys(of_item)) = seq.next_element()? {
            is_unique &= of_item;
        }
        Ok(UniqueKeys(is_unique))
    }

    fn visit_unit<E>(self) -> Result<UniqueKeys, E> {
        Ok(UniqueKeys(true))
    }

    fn visit_bool<E>(self, _: bool) -> Result<UniqueKeys, E> {
        Ok(UniqueKeys(true))
    }

    fn visit_i64<E>(self, _: i64) -> Result<UniqueKeys, E> {
        Ok(UniqueKeys(true))
    }

    fn visit_u64<E>(self, _: u64) -> Result<UniqueKeys, E> {
        Ok(UniqueKeys(true))
    }

    fn visit_f64<E>(self, _: f64) -> Result<UniqueKeys, E> {
        Ok(UniqueKeys(true))
    }

    fn visit_str<E>(self, _: &str) -> Result<UniqueKeys, E> {
        Ok(UniqueKeys(true))
    }
}

impl<'de> Deserialize<'de> for UniqueKeys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_unique_at_each_depth() {
        let is_unique = |text: &str| serde_json::from_str::<UniqueKeys>(text).unwrap().0;
        for text in [r#"{"a": 1, "b": [{"a": -1}, {"a": 1.5}]}"#, "[]", "null", r#""a""#, "true"] {
            assert!(is_unique(text), "{text}");
        }
        for text in [r#"{"a": 1, "a": 1}"#, r#"[{"b": {"a": 1, "\u0061": 2}}]"#] {
            assert!(!is_unique(text), "{text}");
        }
    }
}
