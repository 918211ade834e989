//! The permission catalogue of a tenant: entities, their actions, and which pairs open which capability of the gateway.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use super::capability::Capability;

/// A pair such as `organizations:create`, in lower case, or a selector: `*:*`, `entity:*`, `*:read`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Permission {
    /// `None` is `*`.
    pub entity: Option<String>,
    /// `None` is `*`.
    pub action: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a permission: `entity:action`, `entity:*`, `*:action` or `*:*` was expected, in lower case")]
pub struct PermissionError(String);

impl Permission {
    /// # Errors
    /// When the text has another form.
    pub fn parse(text: &str) -> Result<Self, PermissionError> {
        let refused = || PermissionError(text.chars().take(120).collect());
        let (entity, action) = text.split_once(':').ok_or_else(refused)?;
        let word = |word: &str| match word {
            "*" => Ok(None),
            _ if !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_') => {
                Ok(Some(word.to_owned()))
            }
            _ => Err(refused()),
        };
        Ok(Self { entity: word(entity)?, action: word(action)? })
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.entity.as_deref().unwrap_or("*"), self.action.as_deref().unwrap_or("*"))
    }
}

impl Serialize for Permission {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for Permission {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// One entity of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entity {
    pub key: String,
    pub name: String,
    pub category: String,
    #[serde(default)]
    pub description: String,
    pub actions: Vec<String>,
    /// Which of the gateway's own capabilities an action opens.
    #[serde(default)]
    pub opens: BTreeMap<String, Vec<Capability>>,
    /// What kind of place it is held at: `organization`, `context`, `resource`.
    pub scope_kind: String,
    /// How actions are shown, where that differs.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Left out of `*:read`.
    #[serde(default)]
    pub sensitive: bool,
}

/// The entities of a tenant, against which selectors are resolved.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Catalogue {
    entities: BTreeMap<String, Entity>,
}

impl Catalogue {
    #[must_use]
    pub fn new(entities: Vec<Entity>) -> Self {
        Self { entities: entities.into_iter().map(|entity| (entity.key.clone(), entity)).collect() }
    }

    #[must_use]
    pub fn find(&self, key: &str) -> Option<&Entity> {
        self.entities.get(key)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Entity> {
        self.entities.values()
    }

    /// Whether the permission names the pair, selectors resolved against today's catalogue.
    #[must_use]
    pub fn covers(&self, permission: &Permission, entity: &str, action: &str) -> bool {
        let Some(known) = self.entities.get(entity) else { return false };
        known.actions.iter().any(|a| a == action)
            && permission.entity.as_deref().is_none_or(|e| e == entity)
            && permission.action.as_deref().is_none_or(|a| a == action)
            && !(known.sensitive && permission.entity.is_none() && permission.action.is_some())
    }

    /// The pairs that the permission names today, in order.
    pub fn resolve<'a>(&'a self, permission: &'a Permission) -> impl Iterator<Item = (&'a Entity, &'a str)> {
        self.entities.values().flat_map(move |entity| {
            let named = entity.actions.iter().filter(|action| self.covers(permission, &entity.key, action));
            named.map(move |action| (entity, action.as_str()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entity(key: &str, actions: &[&str], sensitive: bool) -> Entity {
        Entity {
            key: key.into(),
            name: key.into(),
            category: "General".into(),
            description: String::new(),
            actions: actions.iter().map(|&a| a.into()).collect(),
            opens: BTreeMap::new(),
            scope_kind: "organization".into(),
            labels: BTreeMap::new(),
            sensitive,
        }
    }

    #[test]
    fn selectors_name_what_the_catalogue_has_and_skip_sensitive_reads() {
        let catalogue = Catalogue::new(vec![entity("logs", &["read", "export"], false), entity("secrets", &["read"], true)]);
        let pairs = |text: &str| {
            let permission = Permission::parse(text).unwrap();
            catalogue.resolve(&permission).map(|(e, a)| format!("{}:{a}", e.key)).collect::<Vec<_>>()
        };
        assert_eq!(pairs("*:read"), ["logs:read"]);
        assert_eq!(pairs("secrets:read"), ["secrets:read"]);
        assert_eq!(pairs("*:*"), ["logs:read", "logs:export", "secrets:read"]);
        assert_eq!(pairs("logs:*"), ["logs:read", "logs:export"]);
        assert!(pairs("logs:delete").is_empty());
        for wrong in ["logs", "Logs:read", ":", "a:b:c", "logs:"] {
            assert!(Permission::parse(wrong).is_err(), "{wrong}");
        }
    }
}
