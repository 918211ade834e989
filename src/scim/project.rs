//! Which attributes are sent: `attributes`, `excludedAttributes` and the schema's `returned` (RFC 7644 §3.4.2.5, §3.9).

use serde_json::{Map, Value};

use super::{
    error::ScimError,
    path::AttrPath,
    schema::{Attribute, Returned, Schema, Target},
};

/// The place of an attribute in a document, in the schema's spelling.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    extension: Option<String>,
    /// `None`: the extension as a whole.
    name: Option<String>,
    sub: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
enum Choice {
    #[default]
    Default,
    Only(Vec<Place>),
    Without(Vec<Place>),
}

/// The attributes asked for; by default all that are returned by default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Projection {
    choice: Choice,
    /// Attributes that are returned only when asked for, or never.
    hidden: Vec<(Place, Returned)>,
}

impl Projection {
    /// From the two parameters, each a list of attribute paths. Paths that the schema does not have select nothing.
    ///
    /// # Errors
    /// When both are given. RFC 7644 §3.9: "Clients MAY request a partial resource representation […] by specifying either of the mutually
    /// exclusive URL query parameters".
    pub fn new(attributes: Option<&[String]>, excluded: Option<&[String]>, schema: &Schema) -> Result<Self, ScimError> {
        let choice = match (attributes, excluded) {
            (Some(_), Some(_)) => return Err(ScimError::value("attributes and excludedAttributes exclude each other; send one of them.")),
            (Some(names), None) => Choice::Only(places(names, schema)),
            (None, Some(names)) => Choice::Without(places(names, schema)),
            (None, None) => Choice::Default,
        };
        Ok(Self { choice, hidden: hidden(schema) })
    }

    /// Whether a top-level attribute will be sent, so that what is costly need not be loaded.
    #[must_use]
    pub fn wants(&self, name: &str) -> bool {
        let top = |place: &&Place| place.extension.is_none() && place.name.as_deref().is_some_and(|n| n.eq_ignore_ascii_case(name));
        match &self.choice {
            Choice::Default => true,
            Choice::Only(places) => places.iter().any(|place| top(&place)),
            Choice::Without(places) => !places.iter().any(|place| top(&place) && place.sub.is_none()),
        }
    }

    /// Whether `attributes` was given (a group's PATCH then answers with a body).
    #[must_use]
    pub fn is_asked(&self) -> bool {
        matches!(self.choice, Choice::Only(_))
    }

    /// RFC 7643 §7: `id` and `schemas` are returned always.
    #[must_use]
    pub fn apply(&self, mut document: Map<String, Value>) -> Value {
        let asked = match &self.choice {
            Choice::Default => &[],
            Choice::Only(places) => {
                document = only(document, places);
                &places[..]
            }
            Choice::Without(places) => {
                places.iter().filter(|place| !is_always(place)).for_each(|place| remove(&mut document, place));
                &[]
            }
        };
        for (place, returned) in &self.hidden {
            if *returned == Returned::Never || !asked.contains(place) {
                remove(&mut document, place);
            }
        }
        Value::Object(document)
    }
}

fn is_always(place: &Place) -> bool {
    place.extension.is_none() && matches!(place.name.as_deref(), Some("id" | "schemas"))
}

fn places(names: &[String], schema: &Schema) -> Vec<Place> {
    let place = |name: &String| {
        let target = schema.lookup_anywhere(&AttrPath::parse(name.trim()).ok()?)?;
        Some(at(target))
    };
    names.iter().filter_map(place).collect()
}

fn at(target: Target<'_>) -> Place {
    Place {
        extension: target.extension.map(|e| e.urn.clone()),
        name: target.attribute.map(|a| a.name.clone()),
        sub: target.sub.map(|s| s.name.clone()),
    }
}

fn hidden(schema: &Schema) -> Vec<(Place, Returned)> {
    let is_hidden = |a: &&Attribute| matches!(a.returned, Returned::Never | Returned::Request);
    let core = schema.core.attributes.iter().map(|a| (None, a));
    let own = schema.extensions.iter().flat_map(|e| e.attributes.iter().map(move |a| (Some(e), a)));
    let hidden = core.chain(own).filter(|(_, a)| is_hidden(a));
    hidden.map(|(extension, a)| (at(Target { extension, attribute: Some(a), sub: None }), a.returned)).collect()
}

fn only(document: Map<String, Value>, places: &[Place]) -> Map<String, Value> {
    let mut result = Map::new();
    for (name, value) in document {
        let here = |place: &&Place| place.extension.as_ref().or(place.name.as_ref()) == Some(&name);
        let wanted: Vec<&Place> = places.iter().filter(here).collect();
        let kept = match (name.as_str(), wanted.is_empty()) {
            ("id" | "schemas", _) => Some(value),
            (_, true) => None,
            (_, false) => kept(value, &wanted),
        };
        if let Some(value) = kept {
            result.insert(name, value);
        }
    }
    result
}

/// The parts of one top-level member that are wanted.
fn kept(value: Value, wanted: &[&Place]) -> Option<Value> {
    if wanted.iter().any(|place| if place.extension.is_some() { place.name.is_none() } else { place.sub.is_none() }) {
        return Some(value);
    }
    let value = if wanted.iter().any(|place| place.extension.is_some()) {
        let Value::Object(level) = value else { return None };
        let mut result = Map::new();
        for (name, value) in level {
            let here: Vec<&&Place> = wanted.iter().filter(|place| place.name.as_ref() == Some(&name)).collect();
            if here.is_empty() {
                continue;
            }
            let whole = here.iter().any(|place| place.sub.is_none());
            let value = if whole { Some(value) } else { parts(value, &|sub| here.iter().any(|place| place.sub.as_deref() == Some(sub))) };
            if let Some(value) = value {
                result.insert(name, value);
            }
        }
        Value::Object(result)
    } else {
        parts(value, &|sub| wanted.iter().any(|place| place.sub.as_deref() == Some(sub)))?
    };
    value.as_object().is_none_or(|map| !map.is_empty()).then_some(value)
}

/// The wanted sub-attributes of a complex value or of each of several.
fn parts(value: Value, wanted: &dyn Fn(&str) -> bool) -> Option<Value> {
    match value {
        Value::Object(map) => {
            let map: Map<String, Value> = map.into_iter().filter(|(name, _)| wanted(name)).collect();
            (!map.is_empty()).then_some(Value::Object(map))
        }
        Value::Array(items) => {
            let items: Vec<Value> = items.into_iter().filter_map(|item| parts(item, wanted)).collect();
            (!items.is_empty()).then_some(Value::Array(items))
        }
        _ => None,
    }
}

fn remove(document: &mut Map<String, Value>, place: &Place) {
    let Some(name) = &place.name else {
        if let Some(urn) = &place.extension {
            document.shift_remove(urn);
        }
        return;
    };
    let level = match &place.extension {
        None => Some(&mut *document),
        Some(urn) => document.get_mut(urn).and_then(Value::as_object_mut),
    };
    let Some(level) = level else { return };
    match &place.sub {
        None => {
            level.shift_remove(name);
        }
        Some(sub) => {
            let value = level.get_mut(name).map(Value::take);
            match value.and_then(|value| parts(value, &|name| name != sub)) {
                Some(rest) => {
                    level.insert(name.clone(), rest);
                }
                None => {
                    level.shift_remove(name);
                }
            }
        }
    }
    if let Some(urn) = &place.extension
        && document.get(urn).and_then(Value::as_object).is_some_and(Map::is_empty)
    {
        document.shift_remove(urn);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::scim::schema::{Definition, Schemas, build, enterprise};

    fn document() -> Map<String, Value> {
        let document = json!({
            "schemas": ["s"], "id": "u1", "userName": "anna", "title": "Boss", "name": {"givenName": "A", "familyName": "B"},
            "emails": [{"value": "a", "type": "work"}, {"value": "b"}],
            enterprise::URN: {"department": "Sales", "manager": {"value": "m", "$ref": "r"}}, "meta": {"version": "1", "created": "c"}});
        document.as_object().unwrap().clone()
    }

    fn names(text: &str) -> Vec<String> {
        text.split(',').map(str::to_owned).collect()
    }

    #[rstest::rstest]
    #[case("title", json!({"title": "Boss"}))]
    #[case("TITLE,nothing", json!({"title": "Boss"}))]
    #[case("nothing", json!({}))]
    #[case("name.familyName", json!({"name": {"familyName": "B"}}))]
    #[case("name.familyName,name", json!({"name": {"givenName": "A", "familyName": "B"}}))]
    #[case("emails.type", json!({"emails": [{"type": "work"}]}))]
    #[case("urn:ietf:params:scim:schemas:core:2.0:User:userName", json!({"userName": "anna"}))]
    #[case("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department", json!({enterprise::URN: {"department": "Sales"}}))]
    #[case("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value", json!({enterprise::URN: {"manager": {"value": "m"}}}))]
    #[case("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User", json!({enterprise::URN: {"department": "Sales", "manager": {"value": "m", "$ref": "r"}}}))]
    #[case("meta.version", json!({"meta": {"version": "1"}}))]
    fn only_what_is_asked_is_sent_with_id_and_schemas(#[case] asked: &str, #[case] expected: Value) {
        let sent = Projection::new(Some(&names(asked)), None, &Schemas::standard().user).unwrap().apply(document());
        let mut all = Map::from_iter([("schemas".to_owned(), json!(["s"])), ("id".to_owned(), json!("u1"))]);
        all.extend(expected.as_object().unwrap().clone());
        assert_eq!(sent, Value::Object(all));
    }

    #[test]
    fn what_is_excluded_is_not_sent_but_id_and_schemas_always_are() {
        let asked = names(
            "id,schemas,title,name.givenName,emails.value,meta,urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.$ref",
        );
        let sent = Projection::new(None, Some(&asked), &Schemas::standard().user).unwrap().apply(document());
        assert_eq!(
            sent,
            json!({
            "schemas": ["s"], "id": "u1", "userName": "anna", "name": {"familyName": "B"}, "emails": [{"type": "work"}],
            enterprise::URN: {"department": "Sales", "manager": {"value": "m"}}})
        );
    }

    #[test]
    fn costly_attributes_need_not_be_loaded() {
        let group = &Schemas::standard().group;
        assert!(Projection::default().wants("members"));
        assert!(!Projection::new(None, Some(&names("members")), group).unwrap().wants("members"));
        assert!(!Projection::new(Some(&names("displayName")), None, group).unwrap().wants("members"));
        assert!(Projection::new(Some(&names("members.value")), None, group).unwrap().wants("members"));
    }

    #[test]
    fn what_is_returned_on_request_waits_for_it() {
        let urn = "urn:example:scim:schemas:extension:2.0:User";
        let rare = build::text("rare").returned(Returned::Request);
        let never = build::text("never").returned(Returned::Never);
        let schemas = Schemas::with_extension(Some(Definition::custom(urn, "Example", vec![rare, never]).unwrap()));
        let document = || Map::from_iter([(urn.to_owned(), json!({"rare": "x", "never": "y"}))]);
        assert_eq!(Projection::new(None, None, &schemas.user).unwrap().apply(document()), json!({}));
        let asked = names(&format!("{urn}:rare,{urn}:never"));
        assert_eq!(Projection::new(Some(&asked), None, &schemas.user).unwrap().apply(document()), json!({urn: {"rare": "x"}}));
    }
}
