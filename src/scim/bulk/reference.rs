//! References `bulkId:x` inside an operation: in its path, in the values of its data, and in the paths of a PATCH.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{Made, Operation, Resolved, Unresolved};

const PREFIX: &str = "bulkId:";

impl Operation {
    /// The `bulkId`s that it refers to, each once, in the order of the text.
    pub(super) fn references(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut note = |name: &str| {
            if !found.iter().any(|known| known == name) {
                found.push(name.to_owned());
            }
        };
        if let Some(name) = self.id.as_deref().and_then(|id| id.strip_prefix(PREFIX)) {
            note(name);
        }
        each(&self.data, &mut note);
        found
    }

    /// The id of the resource that it is about, as far as it is known.
    #[must_use]
    pub fn target(&self, made: &Made) -> Option<String> {
        match self.id.as_deref() {
            Some(id) => id.strip_prefix(PREFIX).map_or_else(|| Some(id.to_owned()), |name| made.id(name)),
            None => made.id(self.bulk_id.as_deref()?),
        }
    }

    /// The operation with identifiers for its references. The elements and attributes that hold a reference of `without` are left out.
    ///
    /// # Errors
    /// When a reference leads nowhere.
    pub fn resolve(&self, made: &Made, without: &BTreeSet<String>) -> Result<Resolved, Unresolved> {
        let resolver = Resolver { made, without };
        let id = match self.id.as_deref() {
            Some(id) => match id.strip_prefix(PREFIX) {
                Some(name) => Some(resolver.id(name)?.to_owned()),
                None => Some(id.to_owned()),
            },
            None => None,
        };
        Ok(Resolved { id, data: resolver.object(&self.data)? })
    }
}

/// What a text refers to: as a whole, at the end of an address, or quoted in the path of a PATCH.
fn reference<'a>(key: &str, text: &'a str) -> Option<&'a str> {
    let name = if key.eq_ignore_ascii_case("$ref") {
        text.rsplit('/').next().unwrap_or_default().strip_prefix(PREFIX)?
    } else if key.eq_ignore_ascii_case("path") {
        let (_, rest) = text.split_once("\"bulkId:")?;
        rest.split_once('"')?.0
    } else {
        text.strip_prefix(PREFIX)?
    };
    (!name.is_empty()).then_some(name)
}

fn each(map: &Map<String, Value>, note: &mut impl FnMut(&str)) {
    for (key, value) in map {
        each_value(key, value, note);
    }
}

fn each_value(key: &str, value: &Value, note: &mut impl FnMut(&str)) {
    match value {
        Value::String(text) => {
            if let Some(name) = reference(key, text) {
                note(name);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| each_value(key, item, note)),
        Value::Object(map) => each(map, note),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

struct Resolver<'a> {
    made: &'a Made,
    without: &'a BTreeSet<String>,
}

impl<'a> Resolver<'a> {
    fn id(&self, name: &str) -> Result<&'a str, Unresolved> {
        match self.made.0.get(name) {
            Some(Some(id)) => Ok(id),
            Some(None) => Err(Unresolved::Failed(name.to_owned())),
            None => Err(Unresolved::Unknown(name.to_owned())),
        }
    }

    fn object(&self, map: &Map<String, Value>) -> Result<Map<String, Value>, Unresolved> {
        let mut result = Map::with_capacity(map.len());
        for (key, value) in map {
            if let Some(value) = self.value(key, value)? {
                result.insert(key.clone(), value);
            }
        }
        Ok(result)
    }

    /// `None`: left out for now. An object whose own member is left out goes with it: a member of a group without its value says nothing.
    fn value(&self, key: &str, value: &Value) -> Result<Option<Value>, Unresolved> {
        Ok(Some(match value {
            Value::String(text) => match reference(key, text) {
                Some(name) if self.without.contains(name) => return Ok(None),
                Some(name) => Value::String(text.replace(&format!("{PREFIX}{name}"), self.id(name)?)),
                None => value.clone(),
            },
            Value::Array(items) => {
                let kept = items.iter().map(|item| self.value(key, item));
                Value::Array(kept.filter_map(Result::transpose).collect::<Result<_, _>>()?)
            }
            Value::Object(map) => {
                let own = |(key, value): (&String, &Value)| {
                    value.as_str().and_then(|text| reference(key, text)).is_some_and(|name| self.without.contains(name))
                };
                if map.iter().any(own) {
                    return Ok(None);
                }
                Value::Object(self.object(map)?)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn operation(value: Value) -> Operation {
        Operation::read(value).unwrap()
    }

    fn made(pairs: &[(&str, &str)]) -> Made {
        let mut made = Made::default();
        for (name, id) in pairs {
            made.insert(name, (*id).to_owned());
        }
        made
    }

    #[test]
    fn references_are_found_in_paths_values_addresses_and_filters() {
        let patch = operation(json!({"method": "PATCH", "path": "/Groups/bulkId:g", "data": {"Operations": [
            {"op": "add", "path": "members", "value": [{"value": "bulkId:a", "$ref": "https://x/Users/bulkId:a"}]},
            {"op": "remove", "path": "members[value eq \"bulkId:b\"]"},
            {"op": "replace", "value": {"manager": "bulkId:c", "displayName": "not bulkId:d"}},
        ]}}));
        assert_eq!(patch.references(), ["g", "a", "b", "c"]);
        let resolved = patch.resolve(&made(&[("g", "G"), ("a", "A"), ("b", "B"), ("c", "C")]), &BTreeSet::new()).unwrap();
        assert_eq!(resolved.id.as_deref(), Some("G"));
        assert_eq!(
            resolved.data["Operations"],
            json!([
                {"op": "add", "path": "members", "value": [{"value": "A", "$ref": "https://x/Users/A"}]},
                {"op": "remove", "path": "members[value eq \"B\"]"},
                {"op": "replace", "value": {"manager": "C", "displayName": "not bulkId:d"}},
            ])
        );
    }

    #[test]
    fn what_closes_a_circle_is_left_out_for_now() {
        let group = operation(json!({"method": "POST", "path": "/Groups", "bulkId": "a", "data": {
            "displayName": "A", "members": [{"value": "bulkId:b", "type": "Group"}, {"value": "bulkId:u"}]}}));
        let without = BTreeSet::from(["b".to_owned()]);
        let first = group.resolve(&made(&[("u", "U")]), &without).unwrap();
        assert_eq!(Value::Object(first.data), json!({"displayName": "A", "members": [{"value": "U"}]}));
        let whole = group.resolve(&made(&[("u", "U"), ("b", "B")]), &BTreeSet::new()).unwrap();
        assert_eq!(whole.data["members"], json!([{"value": "B", "type": "Group"}, {"value": "U"}]));
        let user = operation(
            json!({"method": "POST", "path": "/Users", "bulkId": "u", "data": {"userName": "u", "urn:x:y:User": {"manager": {"value": "bulkId:b"}}}}),
        );
        assert_eq!(Value::Object(user.resolve(&made(&[]), &without).unwrap().data), json!({"userName": "u", "urn:x:y:User": {}}));
    }

    #[test]
    fn a_reference_to_nothing_and_one_to_a_failure_differ() {
        let delete = operation(json!({"method": "DELETE", "path": "/Users/bulkId:a"}));
        assert_eq!(delete.resolve(&Made::default(), &BTreeSet::new()), Err(Unresolved::Unknown("a".to_owned())));
        let mut failed = Made::default();
        failed.fail("a");
        assert_eq!(delete.resolve(&failed, &BTreeSet::new()), Err(Unresolved::Failed("a".to_owned())));
    }
}
