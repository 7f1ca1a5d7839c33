//! The condition of a rule: a CEL expression on a finding.
//!
//! Owns what such an expression may use and how it is compiled and asked. It is asked once a finding, never once
//! an event. What is absent is null: `!=` with null is true, an ordering with null is false. An error keeps the
//! rule silent; the caller counts it.
//!
//! The cost of asking is bounded: at most 4 KiB of text, no macro that walks a list, no user-defined function.

use std::sync::{Arc, LazyLock};

use cel::{
    Context, Env, ExecutionError, IdedExpr, Value,
    common::{
        ast::{Expr, operators},
        types::{CelBool, CelDouble, CelMap, CelMapKey, CelNull, CelString},
        value::Val,
    },
    extractors::Arguments,
};

use super::document::did_you_mean;
use crate::{
    catalogue::{Entry, KeyClass},
    detect::Family,
    event::KeyId,
};

/// The longest text of a condition.
pub const LIMIT_BYTES: usize = 4096;

/// How deep a condition may nest: asking is recursive too, and happens on the slot's own stack.
const LIMIT_DEPTH: usize = 64;

/// The stack on which a condition is compiled: the parser is recursive, and a slot's thread need not be large.
const COMPILER_STACK_BYTES: usize = 16 << 20;

const VARIABLES: [&str; 3] = ["key", "finding", "maturity"];
const OF_KEY: [&str; 7] = ["id", "tenant", "name", "owner", "plan", "class", "protected"];
const OF_FINDING: [&str; 3] = ["detector", "family", "score"];

/// What CEL's orderings are called once they know null.
const ORDERINGS: [(&str, &str); 4] = [
    (operators::LESS, "@less"),
    (operators::LESS_EQUALS, "@less_or_equal"),
    (operators::GREATER, "@greater"),
    (operators::GREATER_EQUALS, "@greater_or_equal"),
];

/// What a condition is asked about.
#[derive(Clone, Copy, Debug)]
pub struct FindingView<'a> {
    pub key: KeyId,
    /// What the catalogue says of the key; without it every field of `key` but `id` is null.
    pub entry: Option<&'a Entry>,
    pub detector: &'a str,
    pub family: Family,
    pub score: f64,
    /// How far the key's profile may be trusted, 0 to 1.
    pub maturity: f64,
}

/// A condition that compiles and refers only to what there is.
#[derive(Clone, Debug)]
pub struct Condition {
    source: String,
    expression: Arc<IdedExpr>,
}

/// Why a condition could not be answered.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("where: {0}")]
pub struct ConditionError(String);

/// Why a text is not a condition, and where in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ConditionSyntaxError {
    /// Line and column within the text, from 1.
    pub line: u32,
    pub column: u32,
    pub message: String,
}

impl Condition {
    /// Compiles a condition, on a large stack.
    pub fn compile(source: &str) -> Result<Self, ConditionSyntaxError> {
        let at_start = |message: String| ConditionSyntaxError { line: 1, column: 1, message };
        if source.len() > LIMIT_BYTES {
            return Err(at_start(format!(
                "the condition is {} bytes, the limit is {LIMIT_BYTES}",
                source.len()
            )));
        }
        std::thread::scope(|scope| {
            std::thread::Builder::new()
                .name("condition".to_owned())
                .stack_size(COMPILER_STACK_BYTES)
                .spawn_scoped(scope, || compile_here(source))
                .map_err(|error| at_start(format!("no thread to compile on: {error}")))?
                .join()
                .unwrap_or_else(|_| Err(at_start("the CEL compiler panicked".to_owned())))
        })
    }

    /// The text that it was compiled from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether the condition is true of the finding.
    pub fn holds(&self, view: &FindingView<'_>) -> Result<bool, ConditionError> {
        match self.answer(view) {
            Ok(Value::Bool(holds)) => Ok(holds),
            Ok(other) => Err(ConditionError(format!("gives {}, not true or false", other.type_of()))),
            Err(error) => Err(ConditionError(error.to_string())),
        }
    }

    fn answer(&self, view: &FindingView<'_>) -> Result<Value, ExecutionError> {
        static STANDARD: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));
        let id = view.key.to_string();
        let mut context = Context::with_env(Arc::clone(&STANDARD));
        context.add_variable_as_val("key", Box::new(key_map(&id, view.entry)));
        context.add_variable_as_val("finding", Box::new(finding_map(view)));
        context.add_variable_as_val("maturity", Box::new(CelDouble::from(view.maturity)));
        for (operator, name) in ORDERINGS {
            let ordered = move |Arguments(values): Arguments| order(operator, &values);
            // The names are not in the standard library, so this cannot fail.
            let _ = context.add_function(name, ordered);
        }
        Value::resolve(&self.expression, &context)
    }
}

fn key_map<'v>(id: &'v str, entry: Option<&'v Entry>) -> CelMap<'v> {
    let text = |text: Option<&'v str>| -> Box<dyn Val + 'v> {
        match text {
            Some(text) if !text.is_empty() => Box::new(CelString::from(text)),
            _ => Box::new(CelNull),
        }
    };
    let class = entry.map_or(KeyClass::Unknown, |entry| entry.class).as_str();
    let protected: Box<dyn Val + 'v> = match entry {
        Some(entry) => Box::new(CelBool::from(entry.protected)),
        None => Box::new(CelNull),
    };
    let values = [
        text(Some(id)),
        text(entry.map(|entry| entry.tenant.as_str())),
        text(entry.map(|entry| entry.name.as_str())),
        text(entry.map(|entry| entry.owner.as_str())),
        text(entry.map(|entry| entry.plan.as_str())),
        text(Some(class)),
        protected,
    ];
    map(OF_KEY.into_iter().zip(values))
}

fn finding_map<'v>(view: &FindingView<'v>) -> CelMap<'v> {
    let values: [Box<dyn Val + 'v>; 3] = [
        Box::new(CelString::from(view.detector)),
        Box::new(CelString::from(view.family.as_str())),
        Box::new(CelDouble::from(view.score)),
    ];
    map(OF_FINDING.into_iter().zip(values))
}

fn map<'v>(entries: impl Iterator<Item = (&'static str, Box<dyn Val + 'v>)>) -> CelMap<'v> {
    CelMap::from(
        entries
            .map(|(name, value)| (CelMapKey::from(name), value))
            .collect::<std::collections::HashMap<_, _>>(),
    )
}

/// An ordering that is false where a side is null, and an error where the sides cannot be compared.
fn order(operator: &str, values: &[Value]) -> Result<Value, ExecutionError> {
    let [left, right] = values else {
        return Err(ExecutionError::invalid_argument_count(2, values.len()));
    };
    if matches!(left, Value::Null) || matches!(right, Value::Null) {
        return Ok(Value::Bool(false));
    }
    let Some(ordering) = left.partial_cmp(right) else {
        return Err(ExecutionError::ValuesNotComparable(left.clone(), right.clone()));
    };
    Ok(Value::Bool(match operator {
        operators::LESS => ordering.is_lt(),
        operators::LESS_EQUALS => ordering.is_le(),
        operators::GREATER => ordering.is_gt(),
        _ => ordering.is_ge(),
    }))
}

fn compile_here(source: &str) -> Result<Condition, ConditionSyntaxError> {
    let program = cel::Program::compile(source).map_err(|errors| {
        let first = errors.errors.first();
        let number = |value: isize| u32::try_from(value).unwrap_or(1).max(1);
        let (line, column) = first.map_or((1, 1), |error| (number(error.pos.0), number(error.pos.1)));
        let message = first.map_or_else(String::new, |error| error.msg.clone());
        ConditionSyntaxError { line, column, message: format!("not a CEL expression: {message}") }
    })?;
    let place = |id: u64, message: String| {
        let start = program.source_info().offset_for(id).map_or(0, |(start, _)| start as usize);
        let before = source.get(..start).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        let number = |value: usize| u32::try_from(value).unwrap_or(1);
        ConditionSyntaxError { line: number(line), column: number(column), message }
    };
    let mut expression = program.expression().clone();
    restrict(&mut expression, LIMIT_DEPTH).map_err(|(id, message)| place(id, message))?;
    let condition = Condition { source: source.to_owned(), expression: Arc::new(expression) };
    try_out(&condition).map_err(|message| place(0, message))?;
    Ok(condition)
}

/// Refuses what a condition may not use, and makes its orderings know null.
fn restrict(node: &mut IdedExpr, depth: usize) -> Result<(), (u64, String)> {
    let id = node.id;
    let Some(depth) = depth.checked_sub(1) else {
        return Err((id, format!("nests deeper than {LIMIT_DEPTH}")));
    };
    match &mut node.expr {
        Expr::Unspecified | Expr::Literal(_) => Ok(()),
        Expr::Ident(name) if VARIABLES.contains(&name.as_str()) => Ok(()),
        Expr::Ident(name) => Err((id, format!("no variable {name}; {}", did_you_mean(name, &VARIABLES)))),
        Expr::Select(select) => {
            let fields: Option<&[&str]> = match &select.operand.expr {
                Expr::Ident(name) if name == "key" => Some(&OF_KEY),
                Expr::Ident(name) if name == "finding" => Some(&OF_FINDING),
                _ => None,
            };
            if let Some(fields) = fields.filter(|fields| !fields.contains(&select.field.as_str())) {
                let known = did_you_mean(&select.field, fields);
                return Err((id, format!("no field {}; {known}", select.field)));
            }
            restrict(&mut select.operand, depth)
        }
        Expr::Call(call) => {
            if let Some((_, name)) = ORDERINGS.iter().find(|(operator, _)| *operator == call.func_name) {
                (*name).clone_into(&mut call.func_name);
            }
            let target = call.target.iter_mut().map(AsMut::as_mut);
            target.chain(&mut call.args).try_for_each(|part| restrict(part, depth))
        }
        Expr::List(list) => list.elements.iter_mut().try_for_each(|part| restrict(part, depth)),
        Expr::Comprehension(_) => {
            Err((id, "all, exists, exists_one, map and filter cannot be used; write \"in [...]\"".to_owned()))
        }
        Expr::Map(_) | Expr::Struct(_) => Err((id, "maps and messages cannot be used".to_owned())),
    }
}

/// Asks about a finding in which nothing is absent: an error there is an error everywhere.
fn try_out(condition: &Condition) -> Result<(), String> {
    let text = || "a".to_owned();
    let entry = Entry { name: text(), owner: text(), tenant: text(), plan: text(), ..Entry::default() };
    let key = KeyId { kind: crate::event::KeyKind::Raw, hash: [0; 16] };
    let view = FindingView {
        key,
        entry: Some(&entry),
        detector: "volume.spike",
        family: Family::Volume,
        score: 9.0,
        maturity: 1.0,
    };
    condition.holds(&view).map(drop).map_err(|ConditionError(message)| message)
}

#[cfg(test)]
mod tests;
