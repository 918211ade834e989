//! The three operations on the attributes of one level: RFC 7644 §3.5.2.1 (add), §3.5.2.2 (remove), §3.5.2.3 (replace).

use serde_json::{Map, Value};

use super::Op;
use crate::{
    domain::connection::Dialect,
    scim::{
        error::ScimError,
        filter::{Filter, Literal, Operator, matches_element},
        normalise,
        schema::{Attribute, Kind},
        value,
    },
};

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
                value::forget_repeats(&mut items);
                value::check_count(attribute, items.len())?;
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
            if filter.is_some_and(|filter| !matches_element(filter, &element, attribute)) {
                return Err(nothing());
            }
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
            // RFC 7644 §3.5.2.3: "If the target location is a multi-valued attribute and a value selection ("valuePath") filter is specified that
            // matches one or more values of the multi-valued attribute, then all matching record values SHALL be replaced."
            // As where the element is made, what selected it stays true of it, unless the value or the strict dialect says otherwise.
            let seed = if self.tolerant() { filter.and_then(|filter| siblings(attribute, filter)) } else { None };
            let mut element = seed.unwrap_or_default();
            merge(&mut element, new);
            items[chosen[0]] = Value::Object(element);
            let mut i = 0;
            items.retain(|_| {
                i += 1;
                chosen[1..].binary_search(&(i - 1)).is_err()
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
/// By RFC 7643 §2.4 one attribute should not hold the same pair of type and value twice.
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
