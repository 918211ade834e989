//! Statements as they are written here, and as each driver takes them.

use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};

use super::{SET_LIMIT, Value};

/// `{…}` repeated, its placeholders numbered on from the highest one.
pub(super) fn repeat(sql: &str, rows: usize) -> SqlStr {
    assert!((1..=SET_LIMIT).contains(&rows), "a set statement takes 1 to {SET_LIMIT} rows, not {rows}");
    let (head, rest) = sql.split_once('{').expect("a set statement has a group in braces");
    let (group, tail) = rest.split_once('}').expect("the group in braces is closed");
    let pieces: Vec<&str> = group.split('$').map(|piece| piece.trim_start_matches(|c: char| c.is_ascii_digit())).collect();
    let width = pieces.len() - 1;
    let first =
        group.split('$').nth(1).and_then(|piece| piece.split(|c: char| !c.is_ascii_digit()).next()).and_then(|n| n.parse::<usize>().ok());
    let first = first.expect("the group in braces has placeholders");
    let mut text = String::with_capacity(sql.len() + rows * (group.len() + 6 * width));
    text.push_str(head);
    for row in 0..rows {
        if row > 0 {
            text.push_str(", ");
        }
        text.push_str(pieces[0]);
        for (column, piece) in pieces[1..].iter().enumerate() {
            text.push('$');
            text.push_str(&(first + row * width + column).to_string());
            text.push_str(piece);
        }
    }
    text.push_str(tail);
    AssertSqlSafe(text).into_sql_str()
}

/// SQLite keeps a list of the names of placeholders, and `$1` and `?1` are names: both it and the driver go through the list for each
/// value, which makes many of them quadratic. A bare `?` has no name and takes the next value, so that what stands at two places is given
/// twice, and statements can follow one another in one text.
pub(super) fn placed(text: &str, values: Vec<Value>) -> (String, Vec<Value>) {
    let mut places = Vec::with_capacity(values.len());
    let bare = rewritten(text, |bare, place| {
        places.push(place);
        bare.push('?');
    });
    if places.iter().copied().eq(1..=values.len()) {
        return (bare, values);
    }
    let values = places.into_iter().map(|place| values[place - 1].clone()).collect();
    (bare, values)
}

/// The statement with its placeholders numbered after those of others.
pub(super) fn renumbered(text: &str, after: usize) -> String {
    rewritten(text, |text, place| {
        text.push('$');
        text.push_str(&(place + after).to_string());
    })
}

/// The statement with what `write` puts at the place of each `$1`.
fn rewritten(text: &str, mut write: impl FnMut(&mut String, usize)) -> String {
    let mut pieces = text.split('$');
    let mut written = String::with_capacity(text.len() + 16);
    written.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        let digits = piece.find(|c: char| !c.is_ascii_digit()).unwrap_or(piece.len());
        write(&mut written, piece[..digits].parse().expect("a placeholder is `$` and a number"));
        written.push_str(&piece[digits..]);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_repeated_and_numbered_on() {
        assert_eq!(repeat("insert into t (a, b) values {($1, $2)}", 2).as_str(), "insert into t (a, b) values ($1, $2), ($3, $4)");
        assert_eq!(
            repeat("update t set a = $2 where tenant = $1 and a <> $2 and id in ({$3}) order by id", 2).as_str(),
            "update t set a = $2 where tenant = $1 and a <> $2 and id in ($3, $4) order by id"
        );
    }
}
