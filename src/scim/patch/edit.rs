//! The three operations on a document, by its schema: RFC 7644 §3.5.2.1 (add), §3.5.2.2 (remove), §3.5.2.3 (replace).

use serde_json::{Map, Value};

use super::{Op, Operation};
use crate::{
    domain::connection::Dialect,
    scim::{
        error::ScimError,
        filter::{Filter, Literal, Operator, matches_element},
        normalise,
        path::Path,
        schema::{Attribute, Definition, Kind, Mutability, Schema, Target},
        value,
    },
};

/// What happens to read-only attributes that stand in an object without a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadOnly {
    /// RFC 7644 §3.3, §3.5.1: of POST and PUT "SHALL be ignored".
    Ignore,
    /// Of PATCH; Okta sends `id` beside `displayName`, so only the strict dialect refuses.
    Refuse,
}

pub struct Editor<'a> {
    pub document: Map<String, Value>,
    pub schema: &'a Schema,
    pub dialect: Dialect,
    pub read_only: ReadOnly,
}

impl Editor<'_> {
    fn tolerant(&self) -> bool {
        self.dialect == Dialect::Tolerant
    }

    pub fn apply(&mut self, operation: &Operation) -> Result<(), ScimError> {
        match (&operation.path, &operation.value) {
            (Some(path), value) => self.at(operation.op, path, value.clone()),
            // RFC 7644 §3.5.2.1: "If omitted, the target location is assumed to be the resource itself. The "value" parameter contains a set of attributes".
            (None, Some(Value::Object(map))) => self.object(operation.op, map.clone()),
            (None, _) => Err(ScimError::value("Without a path its value must be an object of attributes.")),
        }
    }

    /// Attributes without a path: of PATCH, and of the body of POST and PUT.
    pub fn object(&mut self, op: Op, map: Map<String, Value>) -> Result<(), ScimError> {
        let schema = self.schema;
        for (key, value) in map {
            if let Some(attribute) = schema.attribute(&key) {
                if attribute.mutability == Mutability::ReadOnly && (self.tolerant() || self.read_only == ReadOnly::Ignore) {
                    continue;
                }
                self.edit(op, Target { extension: None, attribute: Some(attribute), sub: None }, None, Some(value))?;
            } else if let Some(extension) = schema.extension(&key) {
                self.edit(op, Target { extension: Some(extension), attribute: None, sub: None }, None, Some(value))?;
            } else if self.tolerant() {
                self.flattened(op, &key, value)?;
            }
            // RFC 7644 §3.3 leaves unknown attributes to the provider; they are not kept.
        }
        Ok(())
    }

    /// Entra: keys that are paths (`name.givenName`, `urn:…:User:department`, `emails[type eq "work"].value`) and extension
    /// attributes at the top level (`department`, `manager`). A key that leads nowhere is an unknown attribute.
    fn flattened(&mut self, op: Op, key: &str, value: Value) -> Result<(), ScimError> {
        let Ok(path) = key.parse::<Path>() else { return Ok(()) };
        let Some(target) = self.schema.lookup_anywhere(&path.attribute) else { return Ok(()) };
        if is_read_only(target) {
            return Ok(());
        }
        self.edit(op, target, path.filter.as_ref(), Some(value))
    }

    fn at(&mut self, op: Op, path: &Path, value: Option<Value>) -> Result<(), ScimError> {
        let target = if self.tolerant() { self.schema.lookup_anywhere(&path.attribute) } else { self.schema.lookup(&path.attribute) };
        let target = target.ok_or_else(|| ScimError::path(format_args!("The path {path} names no attribute of the schema.")))?;
        self.edit(op, target, path.filter.as_ref(), value)
    }

    fn edit(&mut self, op: Op, target: Target<'_>, filter: Option<&Filter>, value: Option<Value>) -> Result<(), ScimError> {
        let Some(attribute) = target.attribute else {
            let Some(extension) = target.extension else { return Ok(()) };
            return self.extension(op, extension, filter, value);
        };
        // `schemas` follows from the attributes.
        if attribute.name == "schemas" {
            return Ok(());
        }
        if is_read_only(target) {
            return Err(ScimError::mutability(format_args!("{} is read-only.", attribute.name)));
        }
        if !value::is_kept(attribute) {
            return Ok(());
        }
        let mut fresh = Map::new();
        let level = match target.extension {
            None => &mut self.document,
            Some(extension) => match self.document.get_mut(&extension.urn) {
                Some(Value::Object(level)) => level,
                _ => &mut fresh,
            },
        };
        Level { values: level, dialect: self.dialect }.edit(op, attribute, target.sub, filter, value)?;
        if let Some(extension) = target.extension {
            self.settle(extension, fresh);
        }
        Ok(())
    }

    /// An extension without attributes is not there.
    fn settle(&mut self, extension: &Definition, fresh: Map<String, Value>) {
        if !fresh.is_empty() {
            self.document.insert(extension.urn.clone(), Value::Object(fresh));
        } else if self.document.get(&extension.urn).and_then(Value::as_object).is_some_and(Map::is_empty) {
            self.document.shift_remove(&extension.urn);
        }
    }

    /// An extension as a whole: its attributes are merged; removed, all go.
    fn extension(&mut self, op: Op, extension: &Definition, filter: Option<&Filter>, value: Option<Value>) -> Result<(), ScimError> {
        if filter.is_some() {
            return Err(ScimError::path("An extension has no values to select."));
        }
        match (op, value) {
            (Op::Remove, _) | (Op::Replace, Some(Value::Null)) => {
                self.document.shift_remove(&extension.urn);
                Ok(())
            }
            (Op::Add | Op::Replace, Some(Value::Object(map))) => {
                for (key, value) in map {
                    let Some(attribute) = extension.attributes.iter().find(|a| a.name.eq_ignore_ascii_case(&key)) else { continue };
                    if attribute.mutability != Mutability::ReadOnly {
                        self.edit(op, Target { extension: Some(extension), attribute: Some(attribute), sub: None }, None, Some(value))?;
                    }
                }
                Ok(())
            }
            (Op::Add, Some(Value::Null)) => Ok(()),
            (Op::Add | Op::Replace, _) => Err(ScimError::value(format_args!("{} is an object of attributes.", extension.urn))),
        }
    }
}

fn is_read_only(target: Target<'_>) -> bool {
    [target.attribute, target.sub].into_iter().flatten().any(|a| a.mutability == Mutability::ReadOnly)
}

/// The attributes of one level: of the resource or of an extension.
pub struct Level<'a> {
    pub values: &'a mut Map<String, Value>,
    pub dialect: Dialect,
}

impl Level<'_> {
    fn tolerant(&self) -> bool {
        self.dialect == Dialect::Tolerant
    }

    fn canonical(&self, attribute: &Attribute, value: Value) -> Result<Option<Value>, ScimError> {
        value::canonical(attribute, if self.tolerant() { normalise::value(attribute, value) } else { value })
    }

    /// One element; a list around it is forgiven.
    fn element(&self, attribute: &Attribute, value: Value) -> Result<Map<String, Value>, ScimError> {
        let value = match value {
            Value::Array(mut items) if self.tolerant() && items.len() == 1 => items.pop().unwrap_or(Value::Null),
            other => other,
        };
        let value = if self.tolerant() { normalise::element(attribute, value) } else { value };
        match value::element(attribute, value)? {
            Some(Value::Object(map)) => Ok(map),
            _ => Ok(Map::new()),
        }
    }

    pub fn edit(
        &mut self,
        op: Op,
        attribute: &Attribute,
        sub: Option<&Attribute>,
        filter: Option<&Filter>,
        value: Option<Value>,
    ) -> Result<(), ScimError> {
        if filter.is_some() && !attribute.multi_valued {
            return Err(ScimError::path(format_args!("{} has one value; there is nothing to select.", attribute.name)));
        }
        match (attribute.multi_valued, sub) {
            (false, None) => self.single(op, attribute, value),
            (false, Some(sub)) => self.part(op, attribute, sub, value),
            (true, _) => {
                let mut items = match self.values.get_mut(&attribute.name).map(Value::take) {
                    Some(Value::Array(items)) => items,
                    _ => Vec::new(),
                };
                match filter {
                    None if sub.is_none() => self.many(op, attribute, &mut items, value)?,
                    _ => self.selected(op, attribute, sub, filter, &mut items, value)?,
                }
                if items.is_empty() {
                    if attribute.required {
                        return Err(required(attribute, op));
                    }
                    self.values.shift_remove(&attribute.name);
                } else {
                    self.values.insert(attribute.name.clone(), Value::Array(items));
                }
                Ok(())
            }
        }
    }

    fn single(&mut self, op: Op, attribute: &Attribute, value: Option<Value>) -> Result<(), ScimError> {
        let value = match (op, value) {
            (Op::Remove, _) | (_, None) => None,
            (Op::Add | Op::Replace, Some(value)) => self.canonical(attribute, value)?,
        };
        match value {
            None if attribute.required => Err(required(attribute, op)),
            None => {
                self.values.shift_remove(&attribute.name);
                Ok(())
            }
            // RFC 7644 §3.5.2.3: "If the target location specifies a complex attribute, a set of sub-attributes SHALL be specified in the
            // "value" parameter that replaces any existing values or adds where an attribute did not previously exist."
            Some(Value::Object(new)) if attribute.kind == Kind::Complex => {
                match self.values.get_mut(&attribute.name) {
                    Some(Value::Object(old)) => merge(old, new),
                    _ => {
                        self.values.insert(attribute.name.clone(), Value::Object(new));
                    }
                }
                Ok(())
            }
            Some(value) => {
                self.values.insert(attribute.name.clone(), value);
                Ok(())
            }
        }
    }

    /// `name.givenName`
    fn part(&mut self, op: Op, attribute: &Attribute, sub: &Attribute, value: Option<Value>) -> Result<(), ScimError> {
        let value = match (op, value) {
            (Op::Remove, _) | (_, None) => None,
            (Op::Add | Op::Replace, Some(value)) => self.canonical(sub, value)?,
        };
        let mut new = Map::new();
        if let Some(value) = value {
            new.insert(sub.name.clone(), value);
        }
        match self.values.get_mut(&attribute.name) {
            Some(Value::Object(old)) if new.is_empty() => {
                old.shift_remove(&sub.name);
                if old.is_empty() {
                    self.values.shift_remove(&attribute.name);
                }
            }
            Some(Value::Object(old)) => merge(old, new),
            _ if new.is_empty() => {}
            _ => {
                self.values.insert(attribute.name.clone(), Value::Object(new));
            }
        }
        Ok(())
    }

    /// A multi-valued attribute as a whole.
    fn many(&mut self, op: Op, attribute: &Attribute, items: &mut Vec<Value>, value: Option<Value>) -> Result<(), ScimError> {
        match (op, value) {
            (Op::Remove, None | Some(Value::Null)) => items.clear(),
            // JumpCloud, Entra: what to remove stands in `value`.
            (Op::Remove, Some(value)) => {
                let unwanted = match self.canonical(attribute, value)? {
                    Some(Value::Array(unwanted)) => unwanted,
                    _ => Vec::new(),
                };
                items.retain(|item| !unwanted.iter().any(|unwanted| is_meant(attribute, item, unwanted)));
            }
            (Op::Replace, value) => match self.canonical(attribute, value.unwrap_or(Value::Null))? {
                Some(Value::Array(new)) => *items = new,
                _ => items.clear(),
            },
            (Op::Add, value) => {
                let Some(Value::Array(new)) = self.canonical(attribute, value.unwrap_or(Value::Null))? else { return Ok(()) };
                let mut primary = None;
                for element in new {
                    let marked = value::is_primary(&element);
                    let place = append(attribute, items, element);
                    if marked {
                        primary = Some(place);
                    }
                }
                if let Some(primary) = primary {
                    only_primary(items, primary);
                }
            }
        }
        Ok(())
    }

    /// The elements that a filter selects, or a part of all.
    fn selected(
        &mut self,
        op: Op,
        attribute: &Attribute,
        sub: Option<&Attribute>,
        filter: Option<&Filter>,
        items: &mut Vec<Value>,
        value: Option<Value>,
    ) -> Result<(), ScimError> {
        if attribute.kind != Kind::Complex && op != Op::Remove {
            return Err(ScimError::path(format_args!("Values of {} are added, removed or replaced as wholes.", attribute.name)));
        }
        let chosen: Vec<usize> =
            (0..items.len()).filter(|i| filter.is_none_or(|filter| matches_element(filter, &items[*i], attribute))).collect();
        let nothing = || ScimError::no_target(format_args!("No value of {} is selected by the path.", attribute.name));

        let new = match (op, value) {
            (Op::Remove, _) | (_, None) => Map::new(),
            (Op::Add | Op::Replace, Some(value)) => {
                let value = match sub {
                    None => value,
                    Some(sub) => Value::Object(Map::from_iter([(sub.name.clone(), value)])),
                };
                self.element(attribute, value)?
            }
        };
        // Removed, or unassigned by null.
        if new.is_empty() {
            if chosen.is_empty() && !self.tolerant() {
                return Err(nothing());
            }
            let mut i = 0;
            items.retain_mut(|item| {
                let hit = chosen.binary_search(&i).is_ok();
                i += 1;
                !hit || sub.is_some_and(|sub| self.without(item, sub))
            });
            return Ok(());
        }
        if chosen.is_empty() {
            // RFC 7644 §3.5.2.3: "[…] and no record match was made, the service provider SHALL indicate failure by returning HTTP status code 400 and a
            // "scimType" error code of "noTarget"." Entra: the first value of a kind comes as `add` or `replace` of `emails[type eq "work"].value`.
            let seed = if self.tolerant() { filter.map_or(Some(Map::new()), |filter| siblings(attribute, filter)) } else { None };
            let mut element = seed.ok_or_else(nothing)?;
            merge(&mut element, new);
            let element = Value::Object(element);
            let marked = value::is_primary(&element);
            items.push(element);
            if marked {
                let last = items.len() - 1;
                only_primary(items, last);
            }
            return Ok(());
        }
        let marked = new.get("primary") == Some(&Value::Bool(true));
        if marked && chosen.len() > 1 {
            return Err(ScimError::value(format_args!("More than one value of {} would be primary.", attribute.name)));
        }
        if op == Op::Replace && sub.is_none() {
            // RFC 7644 §3.5.2.3: "If the target location is a multi-valued attribute for which a value selection filter […] has been supplied,
            // the values selected by the filter SHALL be replaced."
            items[chosen[0]] = Value::Object(new);
            let mut i = 0;
            items.retain(|_| {
                i += 1;
                !chosen[1..].contains(&(i - 1))
            });
        } else {
            for &i in &chosen {
                if let Value::Object(old) = &mut items[i] {
                    merge(old, new.clone());
                }
            }
        }
        if marked {
            only_primary(items, chosen[0]);
        }
        Ok(())
    }

    /// Takes a part away; whether anything is left. A type without a value is nothing, but the strict dialect keeps the letter.
    fn without(&self, item: &mut Value, sub: &Attribute) -> bool {
        let Value::Object(map) = item else { return true };
        map.shift_remove(&sub.name);
        let label = |key: &String| matches!(key.as_str(), "type" | "primary" | "display");
        if self.tolerant() { !map.keys().all(label) } else { !map.is_empty() }
    }
}

fn required(attribute: &Attribute, op: Op) -> ScimError {
    let words = format!("{} is required and cannot be taken away.", attribute.name);
    match op {
        // RFC 7644 §3.5.2.2: "If an attribute is removed or becomes unassigned and is defined as a required attribute […], the server SHALL
        // return […] a "scimType" error code of "mutability"."
        Op::Remove => ScimError::mutability(words),
        Op::Add | Op::Replace => ScimError::value(words),
    }
}

/// Sub-attributes that are not named stay. Another `value` (of `manager`) makes the old address untrue.
fn merge(old: &mut Map<String, Value>, new: Map<String, Value>) {
    if new.get("value").is_some_and(|value| old.get("value").is_some_and(|old| old != value)) && !new.contains_key("$ref") {
        old.shift_remove("$ref");
    }
    old.extend(new);
}

/// RFC 7644 §3.5.2.1: "If the target location already contains the value specified, no changes SHOULD be made to the resource".
/// RFC 7643 §2.4: "service providers SHOULD NOT return the same (type, value) combination more than once per attribute".
fn append(attribute: &Attribute, items: &mut Vec<Value>, element: Value) -> usize {
    let place = items.iter().position(|item| {
        let equal = |name: &str| match (item.get(name), element.get(name), attribute.sub(name)) {
            (Some(a), Some(b), Some(sub)) => value::same(sub, a, b),
            (a, b, _) => a.is_none() && b.is_none(),
        };
        if element.get("value").is_some() { equal("value") && equal("type") } else { *item == element }
    });
    match (place, element) {
        (Some(place), Value::Object(new)) => {
            if let Value::Object(old) = &mut items[place] {
                merge(old, new);
            }
            place
        }
        (Some(place), _) => place,
        (None, element) => {
            items.push(element);
            items.len() - 1
        }
    }
}

/// RFC 7644 §3.5.2: "a PATCH operation that sets a value's "primary" sub-attribute to "true" SHALL cause the server to
/// automatically set "primary" to "false" for any other values in the array."
fn only_primary(items: &mut [Value], place: usize) {
    for (i, item) in items.iter_mut().enumerate() {
        if i != place
            && value::is_primary(item)
            && let Value::Object(map) = item
        {
            map.insert("primary".to_owned(), Value::Bool(false));
        }
    }
}

/// Whether `unwanted`, as far as it goes, is this element.
fn is_meant(attribute: &Attribute, item: &Value, unwanted: &Value) -> bool {
    let Value::Object(parts) = unwanted else { return value::same(attribute, item, unwanted) };
    let equal = |name: &str, part: &Value| {
        item.get(name).is_some_and(|own| attribute.sub(name).map_or(own == part, |sub| value::same(sub, own, part)))
    };
    let deciding = |name: &str| !parts.contains_key("value") || name == "value" || name == "type";
    parts.iter().filter(|(name, _)| deciding(name)).all(|(name, part)| equal(name, part))
}

/// The element that a filter describes: `type eq "work" and primary eq true`. Nothing else describes one.
fn siblings(attribute: &Attribute, filter: &Filter) -> Option<Map<String, Value>> {
    match filter {
        Filter::And(left, right) => {
            let mut parts = siblings(attribute, left)?;
            parts.extend(siblings(attribute, right)?);
            Some(parts)
        }
        Filter::Compare { path, op: Operator::Eq, value } if path.schema.is_none() && path.sub.is_none() => {
            let sub = attribute.sub(&path.name)?;
            let value = match value {
                Literal::Null => return Some(Map::new()),
                Literal::Boolean(value) => Value::Bool(*value),
                Literal::Number(number) => Value::Number(number.clone()),
                Literal::Text(text) => Value::String(text.clone()),
            };
            let value = value::canonical(sub, normalise::value(sub, value)).ok().flatten()?;
            Some(Map::from_iter([(sub.name.clone(), value)]))
        }
        _ => None,
    }
}
