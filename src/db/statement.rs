//! A statement that is put together from constant pieces, as lists with optional conditions need it. Values are bound, never written.

use super::{
    DbError,
    engine::{Record, Target, Value},
    filter::Condition,
};

/// Pieces have a `?` for each value; it becomes the next placeholder.
#[derive(Debug, Default)]
pub(super) struct Statement {
    sql: String,
    parts: Vec<Part>,
    next: usize,
}

#[derive(Debug)]
enum Part {
    Value(Value),
    Condition(Condition),
}

impl Statement {
    pub(super) fn new(sql: &'static str, values: impl IntoIterator<Item = Value>) -> Self {
        let mut statement = Self { next: 1, ..Self::default() };
        statement.push(sql, values);
        statement
    }

    pub(super) fn push(&mut self, sql: &'static str, values: impl IntoIterator<Item = Value>) -> &mut Self {
        for (at, piece) in sql.split('?').enumerate() {
            if at > 0 {
                self.placeholder();
            }
            self.sql.push_str(piece);
        }
        self.parts.extend(values.into_iter().map(Part::Value));
        self
    }

    /// `(?, ?, …)`, or what is true of nothing when there are none.
    pub(super) fn push_set(&mut self, values: impl IntoIterator<Item = String>) -> &mut Self {
        self.sql.push('(');
        let mut is_first = true;
        for value in values {
            self.sql.push_str(if is_first { "" } else { ", " });
            is_first = false;
            self.placeholder();
            self.parts.push(Part::Value(Value::from(value)));
        }
        self.sql.push_str(if is_first { "select '' where 1 = 0)" } else { ")" });
        self
    }

    pub(super) fn push_condition(&mut self, condition: &Condition) -> &mut Self {
        let (text, next) = condition.sql(self.next);
        self.sql.push_str(&text);
        self.next = next;
        self.parts.push(Part::Condition(condition.clone()));
        self
    }

    pub(super) async fn all<R: Record>(self, source: impl Into<Target<'_>>) -> Result<Vec<R>, DbError> {
        let Self { sql, parts, .. } = self;
        let mut query = source.into().query_built(sql);
        for part in &parts {
            query = match part {
                Part::Value(value) => query.bind(value.clone()),
                Part::Condition(condition) => condition.bind(query),
            };
        }
        query.all().await
    }

    fn placeholder(&mut self) {
        self.sql.push('$');
        self.sql.push_str(&self.next.to_string());
        self.next += 1;
    }
}

pub(super) fn text(value: &impl ToString) -> Value {
    Value::from(value.to_string())
}
