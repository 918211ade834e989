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
    pub fn new<'a>(
        attributes: Option<impl IntoIterator<Item = &'a str>>,
        excluded: Option<impl IntoIterator<Item = &'a str>>,
        schema: &Schema,
    ) -> Result<Self, ScimError> {
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

fn places<'a>(names: impl IntoIterator<Item = &'a str>, schema: &Schema) -> Vec<Place> {
    let place = |name: &str| {
        let target = schema.lookup_anywhere(&AttrPath::parse(name.trim()).ok()?)?;
        Some(at(target))
    };
    names.into_iter().filter_map(place).collect()
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
