//! What is wrong with a file, and where.

use std::fmt;

use super::{Node, Scalar, Value};

/// The shortest value from the environment that is looked for in messages.
const SHORTEST_HIDDEN: usize = 4;

/// A line and a column, both counted from 1; 0 = not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    pub line: u32,
    pub column: u32,
}

/// One thing that is wrong. Shown as `file:line:column: path: message`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    pub file: String,
    pub place: Place,
    /// The field, from the top of the file: `sources[0].kafka.start`. Empty for the file itself.
    pub path: String,
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.place.line > 0 {
            write!(f, ":{}:{}", self.place.line, self.place.column)?;
        }
        if !self.path.is_empty() {
            write!(f, ": {}", self.path)?;
        }
        write!(f, ": {}", self.message)
    }
}

/// All that is wrong with one or several files. As an error it shows a line each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    file: String,
    found: Vec<Problem>,
}

impl Problems {
    /// An empty list for the file of that name.
    pub fn of_file(file: &str) -> Self {
        Self { file: file.to_owned(), found: Vec::new() }
    }

    /// Adds what is wrong at a place of the current file, once.
    pub fn add(&mut self, place: Place, path: impl Into<String>, message: impl Into<String>) {
        let problem = Problem { file: self.file.clone(), place, path: path.into(), message: message.into() };
        if !self.found.contains(&problem) {
            self.found.push(problem);
        }
    }

    /// Puts what was written in the place of what it stood for, wherever a message shows a value of `root` that came
    /// from the environment: a section's own check does not know that its value may be a secret.
    pub fn hide_replaced(&mut self, root: &Node) {
        match &root.value {
            Value::Sequence(elements) => elements.iter().for_each(|node| self.hide_replaced(node)),
            Value::Mapping(entries) => entries.iter().for_each(|(_, node)| self.hide_replaced(node)),
            // Shorter ones hide nothing and would garble the message.
            Value::Scalar(Scalar::Replaced { written, value }) if value.len() >= SHORTEST_HIDDEN => {
                for problem in &mut self.found {
                    problem.message = problem.message.replace(value.as_str(), written);
                }
            }
            Value::Scalar(_) => {}
        }
    }

    /// Takes over the problems of another file.
    pub fn extend(&mut self, others: Self) {
        self.found.extend(others.found);
    }

    /// Whether something is wrong with the field at `path`, or below it.
    pub fn concern(&self, path: &str) -> bool {
        let is_below = |rest: &str| rest.is_empty() || rest.starts_with(['.', '[']);
        self.found.iter().any(|problem| problem.path.strip_prefix(path).is_some_and(is_below))
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// How many things are wrong.
    pub fn len(&self) -> usize {
        self.found.len()
    }

    /// The problems in the order of files and places.
    pub fn sorted(&self) -> Vec<&Problem> {
        let mut sorted: Vec<_> = self.found.iter().collect();
        sorted.sort();
        sorted.dedup();
        sorted
    }

    /// The value, unless something is wrong.
    pub fn or<T>(self, value: T) -> Result<T, Self> {
        if self.is_empty() { Ok(value) } else { Err(self) }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.sorted().into_iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// What to say beside a name that is not known: the nearest known one if it is near, and the whole list.
pub fn did_you_mean(name: &str, known: &[&str]) -> String {
    // Two slips in a word of six letters are still that word; more is another one.
    let near = |candidate: &&&str| strsim::damerau_levenshtein(name, candidate) <= (name.len() / 3).max(1);
    let nearest =
        known.iter().filter(near).min_by_key(|candidate| strsim::damerau_levenshtein(name, candidate));
    let list = known.join(", ");
    match nearest {
        Some(nearest) => format!("did you mean {nearest}? known: {list}"),
        None => format!("known: {list}"),
    }
}
