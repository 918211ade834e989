//! What a command prints, and how it fails. Nothing that somebody else wrote reaches the terminal as a control or bidirectional character.

use std::{
    error::Error,
    fmt::Display,
    io::{self, BufWriter, ErrorKind, StdoutLock, Write},
    process::ExitCode,
};

use serde::Serialize;

use crate::domain::text::{visible, visible_json};

/// Lines for stdout. A reader that has seen enough (`| head`) ends the command without noise.
pub struct Output {
    to: BufWriter<StdoutLock<'static>>,
}

impl Output {
    #[must_use]
    pub fn stdout() -> Self {
        Self { to: BufWriter::new(io::stdout().lock()) }
    }

    /// Prints one line of text.
    pub fn line(&mut self, line: impl Display) -> Result<(), Failure> {
        self.write(&visible(&line.to_string(), &[]))?;
        self.write("\n")
    }

    /// Prints a JSON document.
    pub fn json(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(value).map_err(|error| Failure::new(error.to_string()))?;
        self.write(&visible_json(&text))?;
        self.write("\n")
    }

    /// Prints a JSON document on one line.
    pub fn json_line(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string(value).map_err(|error| Failure::new(error.to_string()))?;
        self.write(&visible_json(&text))?;
        self.write("\n")
    }

    fn write(&mut self, text: &str) -> Result<(), Failure> {
        self.to.write_all(text.as_bytes()).map_err(|error| Failure::from_printing(&error))
    }

    /// The rows of a JSON array, as they come.
    pub fn array(&mut self) -> Result<ArrayOutput<'_>, Failure> {
        self.write("[")?;
        Ok(ArrayOutput { output: self, first: true })
    }

    /// A whole JSON array, a row a line.
    pub fn rows(&mut self, rows: impl IntoIterator<Item = impl Serialize>) -> Result<(), Failure> {
        let mut array = self.array()?;
        rows.into_iter().try_for_each(|row| array.row(&row))?;
        array.end()
    }

    /// Something that whoever reads stdout does not ask for, and people should know.
    pub fn warn(&mut self, line: impl Display) -> Result<(), Failure> {
        self.finish()?;
        complain(format_args!("warning: {}", visible(&line.to_string(), &[])));
        Ok(())
    }

    pub fn finish(&mut self) -> Result<(), Failure> {
        self.to.flush().map_err(|error| Failure::from_printing(&error))
    }
}

/// Prints a line to stderr. `eprintln!` would panic when stderr is closed.
fn complain(line: impl Display) {
    let _ = writeln!(io::stderr(), "rolegate: {line}");
}

pub struct ArrayOutput<'a> {
    output: &'a mut Output,
    first: bool,
}

impl ArrayOutput<'_> {
    pub fn row(&mut self, row: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string(row).map_err(|error| Failure::new(error.to_string()))?;
        let separator = if self.first { "\n" } else { ",\n" };
        self.first = false;
        self.output.write(separator)?;
        self.output.write(&visible_json(&text))
    }

    pub fn end(self) -> Result<(), Failure> {
        self.output.write(if self.first { "]\n" } else { "\n]\n" })
    }
}

/// Why a command did not do what it was asked: one line that says what to do.
#[derive(Debug)]
pub struct Failure {
    message: String,
    quiet: bool,
}

impl Failure {
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), quiet: false }
    }

    fn from_printing(error: &io::Error) -> Self {
        Self { quiet: error.kind() == ErrorKind::BrokenPipe, message: format!("the output could not be written: {error}") }
    }

    /// The line, for those who make it part of another.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    pub(super) fn report(&self) -> ExitCode {
        if self.quiet {
            return ExitCode::SUCCESS;
        }
        complain(visible(&self.message, &[]));
        ExitCode::FAILURE
    }
}

/// An error with its sources on one line; each says only what the next does not.
impl<E: Error> From<E> for Failure {
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let text = cause.to_string();
            if !message.contains(&text) {
                message.push_str(": ");
                message.push_str(&text);
            }
            source = cause.source();
        }
        Self::new(message.replace('\n', " "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the database cannot be reached")]
    struct Outer(#[source] io::Error);

    #[test]
    fn a_failure_is_one_line_with_its_causes() {
        let failure = Failure::from(Outer(io::Error::other("no\nroute")));
        assert_eq!(failure.message, "the database cannot be reached: no route");
    }
}
