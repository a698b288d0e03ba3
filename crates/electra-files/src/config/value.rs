//! Keys and values of TOML tables.

use crate::nearest;
use toml::Value;

/// Splits `a.b.key` into the names of the sections and the name of the key.
pub(crate) fn split(key: &str) -> (impl Iterator<Item = &str>, &str) {
    let (sections, last) = key.rsplit_once('.').map_or((None, key), |(a, b)| (Some(a), b));
    (sections.into_iter().flat_map(|path| path.split('.')), last)
}

/// `new` converted to the type of `old`, if it can be.
pub(crate) fn of_type(new: Value, old: &Value) -> Option<Value> {
    match (new, old) {
        (Value::Integer(i), Value::Float(_)) => Some(Value::Float(i as f64)),
        // For whole numbers that are written as 1e6.
        (Value::Float(x), Value::Integer(_)) if x.fract() == 0.0 => Some(Value::Integer(x as i64)),
        (new, old) => new.same_type(old).then_some(new),
    }
}

/// serde's "unknown field `x`, expected one of `a`, `b`" with a suggestion.
pub(crate) fn explain(message: &str) -> String {
    let message = message.trim_end();
    let Some(rest) =
        message.split("unknown field ").nth(1).or_else(|| message.split("unknown variant ").nth(1))
    else {
        return message.to_owned();
    };
    let mut names = rest.split('`').skip(1).step_by(2);
    let unknown = names.next().unwrap_or_default();
    format!("{message}{}", nearest(unknown, names))
}
